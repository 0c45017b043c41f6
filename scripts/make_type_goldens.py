"""Ask llama-quantize itself which types it gives the tensors of the kit's models.

Writes tests/data/types/NAME.txt, all file types with and without an importance matrix; the same in
tests/data/types/large/ of tests/support/recipe_models.py, models that are shapes only; and in
tests/data/types/steered/ the cases of tests/support/type_cases.py. A dry run decides everything
and computes nothing. Of one model tests/data/types/digests/NAME.txt has the SHA-256 of the real
files of all cases. Needs `pip install -e .[oracle]` and the checkpoints that the kit's
materialize.py writes.

python scripts/make_type_goldens.py CHECKPOINTS [NAME...]
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from quantize import api  # noqa: E402 (found by the line above)
from quantize.recipes import FTYPES  # noqa: E402 (found by the line above)
from quantize.tensors import GGML_TYPES  # noqa: E402 (found by the line above)
from tests.support.recipe_models import RECIPE_MODELS  # noqa: E402 (found by the line above)
from tests.support.type_cases import (  # noqa: E402 (found by the line above)
    CASES,
    DIGESTED_MODEL,
    STEERED_MODELS,
    Case,
    Types,
    all_types,
    text_of,
)

FOLDER = ROOT / "tests" / "data" / "types"

# By name, so that types are checked where it is not installed too.
llama = importlib.import_module("llama_cpp")

_SILENT = llama.llama_log_callback(lambda *_: None)
_LINE = re.compile(
    r"\[ *\d+/ *\d+\] (\S+) +- \[[^]]*\], type = +(\S+), "
    r"size = +[\d.]+ MiB(?: -> +[\d.]+ MiB \((\S+)\))?"
)


def types_of(source: Path, case: Case, *, imatrix: bool = False) -> Types:
    params = params_of(case)
    params.dry_run = True
    one = ctypes.c_float(1)
    matrix = (llama.llama_model_imatrix_data * 2)()
    matrix[0].name, matrix[0].data, matrix[0].size = b"any", ctypes.pointer(one), 1
    if imatrix:
        params.imatrix = matrix
    code, text = quantize(source, Path(), params)
    found = {name: (new or old).upper() for name, old, new in _LINE.findall(text)}
    if code or not found:
        raise SystemExit(f"{source} {case.text}: {text[-500:]}")
    return found


def asking(source: Path) -> Callable[[str, bool], Types]:
    return lambda ftype, imatrix: types_of(source, Case(ftype), imatrix=imatrix)


def digest_of(source: Path, case: Case) -> str:
    """SHA-256 of the file that llama-quantize makes, or "refused"."""
    made = source.with_name("made.gguf")
    code, _ = quantize(source, made, params_of(case))
    return "refused" if code else hashlib.sha256(made.read_bytes()).hexdigest()


def params_of(case: Case) -> ctypes.Structure:
    params: ctypes.Structure = llama.llama_model_quantize_default_params()
    params.nthread = 1
    params.allow_requantize = case.source != "F32"
    params.ftype = FTYPES[case.type].id
    params.pure = case.pure
    params.quantize_output_tensor = not case.leave_output
    if case.output is not None:
        params.output_tensor_type = GGML_TYPES[case.output.upper()].id
    if case.embedding is not None:
        params.token_embedding_type = GGML_TYPES[case.embedding.upper()].id
    params.tt_overrides = _overrides(case.tensor_types)
    return params


def _overrides(texts: Sequence[str]) -> ctypes.Array[ctypes.Structure] | None:
    """The command lowers a pattern's case before it hands it over."""
    made = (llama.llama_model_tensor_override * (len(texts) + 1))()
    for one, text in zip(made, texts, strict=False):
        pattern, _, name = text.partition("=")
        one.pattern = pattern.lower().encode()
        one.type = GGML_TYPES[name.upper()].id
    return made if texts else None


def quantize(source: Path, target: Path, params: ctypes.Structure) -> tuple[int, str]:
    """What llama_model_quantize returns, and what it logs."""
    pieces: list[str] = []

    def keep(level: int, text: bytes, data: object) -> None:
        pieces.append(text.decode(errors="replace"))  # values are cut anywhere

    callback = llama.llama_log_callback(keep)
    llama.llama_log_set(callback, None)
    paths = (str(source).encode(), str(target).encode())
    code = llama.llama_model_quantize(*paths, ctypes.byref(params))
    llama.llama_log_set(_SILENT, None)
    return code, "".join(pieces)


def converted(checkpoint: Path, type: str, folder: Path) -> Path:
    options = api.Options(types=(type,), output=folder / type, jobs=1)
    return api.convert(str(checkpoint), options).files[0].path


def main(checkpoints: str, *names: str) -> None:
    for folder in ("large", "steered", "digests"):
        (FOLDER / folder).mkdir(parents=True, exist_ok=True)
    for name, model in RECIPE_MODELS.items():
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            file = model.write(Path(folder) / "model.gguf")
            (FOLDER / "large" / f"{name}.txt").write_text(all_types(asking(file)))
        print(name)
    for checkpoint in sorted(Path(checkpoints).iterdir()):
        if names and checkpoint.name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            f32 = converted(checkpoint, "F32", Path(folder))
            (FOLDER / f"{checkpoint.name}.txt").write_text(all_types(asking(f32)))
            if checkpoint.name in STEERED_MODELS:
                sources = {
                    type: converted(checkpoint, type, Path(folder))
                    for type in {case.source for case in CASES}
                }
                steered = {
                    f"{case.source} -> {case.text}": types_of(sources[case.source], case)
                    for case in CASES
                }
                (FOLDER / "steered" / f"{checkpoint.name}.txt").write_text(text_of(steered))
            if checkpoint.name == DIGESTED_MODEL:
                lines = [
                    f"{digest_of(sources[c.source], c)}  {c.source} -> {c.text}" for c in CASES
                ]
                (FOLDER / "digests" / f"{checkpoint.name}.txt").write_text("\n".join(lines) + "\n")
        print(checkpoint.name)


if __name__ == "__main__":
    main(*sys.argv[1:])
