"""The specification: whole files against llama.cpp's, for every kit model and type.

The kit's check.py judges: names, shapes, types and SHA-256 of every tensor, every key-value.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quantize import api
from tests.conftest import CheckGguf
from tests.kit_models import MODELS

TYPES = ("F16", "BF16", "Q8_0", "Q4_K_S", "Q4_K_M")
# llama-quantize does not touch experts in MXFP4 but for this file type.
TYPES_OF_MXFP4 = ("F16", "BF16", "Q8_0", "MXFP4_MOE")


@pytest.mark.parametrize("name", MODELS)
def test_files_equal_those_of_llama_cpp(
    name: str, checkpoint: Callable[[str], Path], check_gguf: CheckGguf, tmp_path: Path
) -> None:
    types = TYPES_OF_MXFP4 if name == "gptoss" else TYPES
    options = api.Options(types=types, output=tmp_path, jobs=1)
    planned = api.plan(str(checkpoint(name)), options)
    converted = api.convert(str(checkpoint(name)), options)
    verdicts = [check_gguf(name, file.path, file.type) for file in converted.files]
    assert all(verdict.ok for verdict in verdicts), "".join(v.output for v in verdicts)
    assert [plan.size for plan in planned.plans] == [
        file.path.stat().st_size for file in converted.files
    ], "the plan predicts every file's size to the byte"


@pytest.mark.parametrize("name", ["llama31-bpe", "qwen2-tied", "bert"])
@pytest.mark.parametrize("float_type", ["F32", "BF16"])
def test_a_gguf_source_gives_what_the_checkpoint_gives(
    name: str, float_type: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    types: tuple[str, ...] = ("Q8_0", "Q4_K_M")
    # Only a checkpoint whose weights BF16 can hold loses nothing on the way.
    if float_type == "BF16" and name == "bert":
        types = ("BF16",)
    first = api.convert(
        str(checkpoint(name)), api.Options(types=(float_type, *types), output=tmp_path, jobs=1)
    )
    second = api.convert(
        str(first.files[0].path),
        api.Options(types=types, output=tmp_path / "again", name=None, jobs=1),
    )
    expected = first.files[1:] if float_type not in types else first.files[:1]
    assert [file.sha256 for file in second.files] == [file.sha256 for file in expected]
