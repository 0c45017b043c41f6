"""Which stops, parameters and templates the kit's models get: the text of the policy golden."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from quantize.options import Options
from quantize.progress import NullProgress
from quantize.verbs.common.companions import write_modelfiles
from quantize.verbs.common.preparing import prepare
from quantize.verbs.common.results import OutputFile
from tests.support.paths import DATA

GOLDEN = DATA / "policy" / "modelfiles.txt"
_TEXTS = re.compile(r'^(TEMPLATE|LICENSE) """.*?"""$', re.DOTALL | re.MULTILINE)


def policy(name: str, checkpoint: Path) -> str:
    """The Modelfile that `convert` writes for a checkpoint, without its long texts.

    Whether a TEMPLATE is right is for the proof and Go's own engine to say; here it counts that
    there is one.
    """
    with TemporaryDirectory() as folder:
        prepared = prepare(str(checkpoint), Options(types=("F16",)))
        file = OutputFile(Path(f"{name}.gguf"), "F16", 0, 16.0, "")
        (path,) = write_modelfiles(prepared, (file,), Options(output=Path(folder)), NullProgress())
        text = path.read_text(encoding="utf-8")
    shortened = _TEXTS.sub(r"\1 ...", text)
    return f"== {name}\n\n{shortened}"
