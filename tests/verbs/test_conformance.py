"""The specification: whole files against llama.cpp's, for every kit model and type.

The kit's check.py judges: names, shapes, types and SHA-256 of every tensor, every key-value.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from quantize import api
from quantize.formats.gguf_read import read_header
from quantize.formats.safetensors import read_header as read_safetensors
from quantize.kernels.floats import decode_bf16
from tests.conftest import CheckGguf
from tests.support.kit_models import DEVIATING, MODELS

TYPES = ("F16", "BF16", "Q8_0", "Q4_K_S", "Q4_K_M")
# llama-quantize does not touch experts in MXFP4 but for this file type.
TYPES_OF_MXFP4 = ("F16", "BF16", "Q8_0", "MXFP4_MOE")


@pytest.mark.parametrize("name", MODELS)
def test_files_equal_those_of_llama_cpp(
    name: str, checkpoint: Callable[[str], Path], check_gguf: CheckGguf, tmp_path: Path
) -> None:
    types = TYPES_OF_MXFP4 if name == "gptoss" else TYPES
    strict = name in DEVIATING
    options = api.Options(types=types, output=tmp_path, jobs=1, strict_parity=strict)
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
    strict = name in DEVIATING
    first = api.convert(
        str(checkpoint(name)),
        api.Options(types=(float_type, *types), output=tmp_path, jobs=1, strict_parity=strict),
    )
    second = api.convert(
        str(first.files[0].path),
        api.Options(
            types=types,
            output=tmp_path / "again",
            name=None,
            jobs=1,
            strict_parity=strict,
        ),
    )
    expected = first.files[1:] if float_type not in types else first.files[:1]
    assert [file.sha256 for file in second.files] == [file.sha256 for file in expected]


def test_arithmetic_on_float16_weights_rounds_to_float16(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """llama.cpp's converter adds 1 to Gemma's norms in the dtype of a float16 checkpoint."""
    folder = tmp_path / "gemma-f16"
    shutil.copytree(checkpoint("gemma"), folder)
    values = np.random.default_rng(1).normal(0, 0.1, 256).astype(np.float16)
    _to_f16(folder / "model.safetensors", {"model.norm.weight": values})
    (file,) = api.convert(
        str(folder), api.Options(types=("F32",), output=tmp_path, strict_parity=True)
    ).files
    data = file.path.read_bytes()
    header = read_header(lambda offset, n: data[offset : offset + n], len(data), file.path.name)
    tensor = header.tensors["output_norm.weight"]
    stored = np.frombuffer(data, "<f4", count=256, offset=tensor.offset)
    assert (stored == (values + np.float16(1)).astype(np.float32)).all()
    assert (stored != values.astype(np.float32) + np.float32(1)).any()


def _to_f16(file: Path, replaced: Mapping[str, NDArray[np.float16]]) -> None:
    data = file.read_bytes()
    header = read_safetensors(lambda offset, n: data[offset : offset + n], len(data), file.name)
    arrays = {
        name: decode_bf16(
            np.frombuffer(data, "<u2", tensor.nbytes // 2, tensor.offset).reshape(tensor.shape)
        ).astype(np.float16)
        for name, tensor in header.tensors.items()
    }
    save_file(arrays | dict(replaced), file)
