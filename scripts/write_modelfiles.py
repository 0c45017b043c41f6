"""Write tests/data/policy/modelfiles.txt: what the Modelfile of each kit model says, and why.

    python scripts/write_modelfiles.py [SHARED]

SHARED has the kit and the model tinyrust; the default is ../shared. The file is a policy, not a
fact: somebody reads every line that this changes before it is committed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.conftest import materialized
from tests.support.kit_models import MODELS
from tests.support.modelfile_policy import GOLDEN, policy


def main() -> None:
    shared = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(sys.path[0]).parent / "shared"
    kit = shared / "conformance"
    with TemporaryDirectory() as folder:
        folders = {name: materialized(kit, kit, name, Path(folder)) for name in MODELS}
        folders["tinyrust"] = shared / "models" / "tinyrust" / "checkpoint"
        parts = [policy(name, checkpoint) for name, checkpoint in folders.items()]
    GOLDEN.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
