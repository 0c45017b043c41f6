"""Ask llama-quantize itself for files with other key-values, fewer blocks, part of a matrix.

Writes tests/data/edits.txt: the SHA-256 of its file for each case of tests/support/edit_cases.py.
What the command does before it calls the library (the types of overrides, the choice among the
entries of a matrix and the key-values about it) is done here again. Needs `pip install -e
.[oracle]`, the checkpoints that the kit's materialize.py writes, and the kit's models for their
matrices.

python scripts/make_edit_goldens.py CHECKPOINTS MODELS
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from make_type_goldens import converted, quantize
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from quantize.formats.imatrix import Imatrix  # noqa: E402 (found by the line above)
from quantize.formats.imatrix_files import read_imatrix  # noqa: E402 (found by the line above)
from quantize.recipes import FTYPES  # noqa: E402 (found by the line above)
from tests.support.edit_cases import CASES  # noqa: E402 (found by the line above)

GOLDENS = ROOT / "tests" / "data" / "edits.txt"
# By name, so that types are checked where it is not installed too.
llama = importlib.import_module("llama_cpp")

_TAGS = {"int": 0, "float": 1, "bool": 2, "str": 3}  # llama.h, llama_model_kv_override_type


def digest_of(source: Path, matrix: Path, options: str) -> str:
    """SHA-256 of the file that llama-quantize makes with these options."""
    chosen = parsed(options)
    params = llama.llama_model_quantize_default_params()
    params.nthread = 1
    params.ftype = FTYPES[chosen.type].id
    overrides = [one.partition("=")[::2] for one in chosen.override_kv]
    typed = [(key, *value.partition(":")[::2]) for key, value in overrides]
    if chosen.imatrix:
        imatrix = read_imatrix(matrix)
        values = entries(imatrix, chosen.exclude_weights, chosen.include_weights)
        data = _imatrix(values)
        params.imatrix = data
        typed += _about(imatrix, len(values), matrix.name)
    params.kv_overrides = _overrides(typed)
    layers = sorted({int(one) for one in chosen.prune_layers.split(",") if one})
    pruned = (ctypes.c_int32 * (len(layers) + 1))(*layers, -1)
    if layers:
        params.prune_layers = pruned
    made = source.with_name("made.gguf")
    code, text = quantize(source, made, params)
    if code:
        raise SystemExit(f"{source} {options}: {text[-500:]}")
    return hashlib.sha256(made.read_bytes()).hexdigest()


def parsed(options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--type")
    parser.add_argument("--imatrix", action="store_true")
    parser.add_argument("--prune-layers", default="")
    for name in ("--override-kv", "--exclude-weights", "--include-weights"):
        parser.add_argument(name, action="append", default=[])
    return parser.parse_args(options.split())


def entries(
    imatrix: Imatrix, excluded: Sequence[str], included: Sequence[str]
) -> Mapping[str, NDArray[np.float32]]:
    return {
        name: entry.values()
        for name, entry in imatrix.entries.items()
        if not any(one in name for one in excluded)
        and (not included or any(one in name for one in included))
    }


def _imatrix(values: Mapping[str, NDArray[np.float32]]) -> Any:
    made = (llama.llama_model_imatrix_data * (len(values) + 1))()
    for one, (name, data) in zip(made, values.items(), strict=False):
        one.name, one.size = name.encode(), data.size
        one.data = data.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    return made


def _about(imatrix: Imatrix, count: int, called: str) -> list[tuple[str, str, str]]:
    said = [("file", "str", called)]
    said += [("dataset", "str", one) for one in imatrix.datasets[:1]]
    said += [("entries_count", "int", str(count))]
    said += [("chunks_count", "int", str(imatrix.chunks))] * (imatrix.chunks > 0)
    return [(f"quantize.imatrix.{key}", type, value) for key, type, value in said]


def _overrides(typed: Sequence[tuple[str, str, str]]) -> Any:
    made = (llama.llama_model_kv_override * (len(typed) + 1))()
    for one, (key, type, value) in zip(made, typed, strict=False):
        one.tag, one.key = _TAGS[type], key.encode()
        if type == "int":
            one.value.val_i64 = int(value)
        elif type == "float":
            one.value.val_f64 = float(value)
        elif type == "bool":
            one.value.val_bool = value == "true"
        else:
            one.value.val_str = value.encode()
    return made


def main(checkpoints: str, models: str) -> None:
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name, options in CASES:
            source = converted(Path(checkpoints) / name, "F32", Path(folder) / name)
            matrix = Path(models) / name / "imatrix.gguf"
            lines.append(f"{digest_of(source, matrix, options)}  {name} {options}\n")
            print(lines[-1], end="")
    GOLDENS.write_text("".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
