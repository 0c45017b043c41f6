"""Let gguf-split and llama-quantize split a model of the kit.

Writes tests/data/splits.txt, a line for each file: its SHA-256, the case and its name. Needs
`pip install -e .[oracle]`, the checkpoint that the kit's materialize.py writes, and llama.cpp's
gguf-split.

python scripts/make_split_goldens.py CHECKPOINTS GGUF_SPLIT
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from make_type_goldens import converted, quantize

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from quantize.recipes import FTYPES  # noqa: E402 (found by the line above)
from tests.support.split_files import scattered, write_parts  # noqa: E402 (found by the line above)

GOLDENS = ROOT / "tests" / "data" / "splits.txt"
MODEL = "llama31-bpe"
# By name, so that types are checked where it is not installed too.
llama = importlib.import_module("llama_cpp")


def cut(source: Path, size: str, tool: str, folder: Path) -> Iterator[str]:
    folder.mkdir()
    command = [tool, "--split-max-size", size, str(source), str(folder / MODEL)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - given by us
    yield from lines(f"split-max-size {size}", folder)


def kept(first: Path, pruned: tuple[int, ...], folder: Path) -> Iterator[str]:
    folder.mkdir()
    params = llama.llama_model_quantize_default_params()
    params.nthread, params.keep_split, params.ftype = 1, True, FTYPES["Q3_K_M"].id
    layers = (ctypes.c_int32 * (len(pruned) + 1))(*pruned, -1)
    if pruned:
        params.prune_layers = layers
    code, text = quantize(first, folder / MODEL, params)
    if code:
        raise SystemExit(text[-500:])
    yield from lines(f"keep-split without {','.join(map(str, pruned)) or 'none'}", folder)


def lines(case: str, folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        number = path.name.removeprefix(MODEL)
        yield f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {case}  {number}\n"


def main(checkpoints: str, tool: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, checkpoint = Path(name), Path(checkpoints) / MODEL
        whole = converted(checkpoint, "Q4_K_M", folder)
        floats = converted(checkpoint, "F32", folder)
        parts = write_parts(floats, folder / "parts", scattered(floats))
        text = "".join(
            [
                *cut(whole, "1M", tool, folder / "1M"),
                *cut(whole, "2M", tool, folder / "2M"),
                *kept(parts[0], (), folder / "all"),
                *kept(parts[0], (0, 2), folder / "some"),
            ]
        )
    GOLDENS.write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
