"""Run commands on mutated checkpoints and GGUF files for a while, and count what they find.

    python scripts/fuzz.py [--seconds 60] [--seed 0]

A case is a command on a kit model with some values of one JSON file, or of the header of its GGUF
file, changed. A case fails by exit code 70 or a traceback, by taking more than ten seconds, or by
wanting more memory than there is: 4 GB for the whole process.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tarfile
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from quantize import api  # noqa: E402 - of this checkout
from tests.conftest import materialized  # noqa: E402
from tests.support.fuzzing import fuzz_folder, fuzz_gguf  # noqa: E402

MODELS = (
    "qwen3-tied", "llama2-spm", "gemma4", "mixtral-8x", "bert", "xlmr", "phi3-longrope",
    "deepseek2-8x", "qwen3next", "lfm2", "mamba", "nomic-bert",
)  # fmt: skip
SLOW = 10.0
MEMORY = 4 << 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    moment = random.Random(arguments.seed)  # noqa: S311 - cases, no secrets
    cases: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with tarfile.open(ROOT / "tests" / "data" / "conformance.tar.xz") as archive:
            archive.extractall(work, filter="data")
        kit = work / "conformance"
        checkpoints = [materialized(kit, kit, name, work / "checkpoints") for name in MODELS]
        options = api.Options(types=("Q8_0",), output=work / "made")
        files = [api.convert(str(one), options).files[0].path for one in checkpoints]
        end = time.monotonic() + arguments.seconds
        while time.monotonic() < end:
            began = time.monotonic()
            reader = moment.choice(("folder", "gguf"))
            hit = (
                fuzz_folder(moment.choice(checkpoints), work, moment)
                if reader == "folder"
                else fuzz_gguf(moment.choice(files), work, moment)
            )
            cases[reader] += 1
            if hit is not None and not hits[hit.said]:
                print(f"{hit.case}\n{hit.said}", flush=True)
            if hit is not None:
                hits[hit.said] += 1
            if time.monotonic() - began > SLOW:
                print(f"slow: case {cases.total()} of {reader}", flush=True)
                hits["slow"] += 1
    for reader, count in cases.items():
        print(f"{reader}: {count} cases")
    print(f"{hits.total()} failed, of {len(hits)} kinds")
    return 1 if hits else 0


if __name__ == "__main__":
    raise SystemExit(main())
