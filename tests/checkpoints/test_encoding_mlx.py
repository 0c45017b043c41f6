"""Checkpoints of MLX: words, scales and biases that MLX itself made and decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize
from numpy.typing import NDArray

from quantize import api
from quantize.checkpoints.base import Reader, Weight
from quantize.checkpoints.encodings import encoding_of, understanding
from quantize.checkpoints.encodings.plain import Plain
from quantize.checkpoints.stored import NUMPY_DTYPES, widen
from quantize.errors import CheckpointError, QuantizeError, UnsupportedError
from quantize.tensors import StoredTensor
from tests.support.cousins import Cousin, cousin
from tests.support.paths import DATA
from tests.support.saved_again import Stored, copied, edit_json, read_tensors, write_tensors

__all__ = ["cousin"]

GOLDENS = np.load(DATA / "mlx.npz")
CASES = sorted({key.rpartition("-")[0] for key in GOLDENS.files})
EXACT = [case for case in CASES if case[0] in "2345" and not case.endswith("-F32")]
CASE = "4-64-BF16"


def module_of(case: str, module: str = "m") -> dict[str, Stored]:
    """The three stored tensors of a module."""
    dtype = case.rpartition("-")[2]
    return {
        f"{module}.{end}": (kind, list(array.shape), array.tobytes())
        for end, kind, array in (
            ("weight", "U32", GOLDENS[f"{case}-words"]),
            ("scales", dtype, GOLDENS[f"{case}-scales"]),
            ("biases", dtype, GOLDENS[f"{case}-biases"]),
        )
    }


def settings_of(case: str) -> dict[str, int]:
    bits, group, _ = case.split("-")
    return {"bits": int(bits), "group_size": int(group)}


def resolved(
    tensors: Mapping[str, Stored], settings: Mapping[str, Any]
) -> tuple[dict[str, Weight], Reader]:
    stored: dict[str, StoredTensor] = {}
    body = b""
    for name, (dtype, shape, data) in tensors.items():
        stored[name] = StoredTensor(name, dtype, tuple(shape), "file", len(body), len(data))
        body += data

    def read(tensor: StoredTensor, offset: int, nbytes: int) -> memoryview:
        start = tensor.offset + offset
        assert start + nbytes <= tensor.offset + tensor.nbytes
        return memoryview(body)[start : start + nbytes]

    with understanding():
        encoding = encoding_of({"quantization": settings}, lambda name: None)
        return encoding.resolve(stored, read), read


@pytest.mark.parametrize("case", CASES)
def test_values_are_those_of_mlx(case: str) -> None:
    weights, read = resolved(module_of(case), settings_of(case))
    expected = GOLDENS[f"{case}-values"]
    weight = weights["m.weight"]
    assert weight.shape == expected.shape
    assert np.array_equal(weight.decode_rows(0, len(expected), read), expected)
    assert np.array_equal(weight.decode_rows(1, 2, read), expected[1:2])


@pytest.mark.parametrize("case", CASES)
def test_a_type_that_holds_the_values_holds_them_exactly(case: str) -> None:
    weights, read = resolved(module_of(case), settings_of(case))
    weight = weights["m.weight"]
    assert (weight.exact_type is not None) == (case in EXACT)
    if weight.exact_type is not None:
        blocks = weight.repack_rows(0, weight.shape[0], read)
        kind = gguf.GGMLQuantizationType[weight.exact_type]
        assert np.array_equal(dequantize(blocks, kind), GOLDENS[f"{case}-values"])


def test_a_module_has_settings_of_its_own() -> None:
    tensors = module_of(CASE) | module_of("8-32-BF16", "n")
    weights, read = resolved(tensors, settings_of(CASE) | {"n": settings_of("8-32-BF16")})
    for name, case in (("m", CASE), ("n", "8-32-BF16")):
        assert np.array_equal(
            weights[f"{name}.weight"].decode_rows(0, 3, read), GOLDENS[f"{case}-values"]
        )


def test_what_is_not_quantized_is_read_as_it_is() -> None:
    plain: Stored = ("F32", [2, 2], np.eye(2, dtype="<f4").tobytes())
    weights, read = resolved(
        module_of(CASE) | {"p.weight": plain}, settings_of(CASE) | {"p": False}
    )
    assert np.array_equal(weights["p.weight"].decode_rows(0, 2, read), np.eye(2))


@pytest.mark.parametrize(
    ("module", "expert"),
    [
        ("l.mlp.switch_mlp.up_proj", "l.mlp.experts.{}.up_proj"),
        ("l.block_sparse_moe.switch_mlp.up_proj", "l.block_sparse_moe.experts.{}.w3"),
        ("l.mixer.switch_mlp.fc2", "l.mixer.experts.{}.down_proj"),
    ],
)
def test_stacked_experts_are_taken_apart(module: str, expert: str) -> None:
    one = module_of(CASE, module)
    stack = {name: (dtype, [2, *shape], data * 2) for name, (dtype, shape, data) in one.items()}
    weights, read = resolved(stack, settings_of(CASE))
    assert [*weights] == [f"{expert.format(number)}.weight" for number in range(2)]
    for weight in weights.values():
        assert np.array_equal(weight.decode_rows(0, 3, read), GOLDENS[f"{CASE}-values"])


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another mode": ({"mode": "mxfp4"}, "unknown-quant-format"),
    "7 bits": ({"bits": 7}, "unknown-quant-format"),
    "other bits": ({"bits": 8}, "bad-part"),
    "another group": ({"group_size": 32}, "bad-part"),
    "a group of nothing": ({"group_size": 0}, "bad-quantization-config"),
    "a group of half a column": ({"group_size": 0.5}, "bad-quantization-config"),
    "bits of its own": ({"m": {"bits": 2}}, "bad-part"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_settings_that_do_not_fit_are_refused(what: str) -> None:
    changed, code = REFUSED[what]
    with pytest.raises(QuantizeError) as caught:
        resolved(module_of(CASE), settings_of(CASE) | changed)
    assert caught.value.code == code
    assert isinstance(caught.value, CheckpointError | UnsupportedError)


@pytest.mark.parametrize("missing", ["m.scales", "m.biases"])
def test_a_missing_part_is_named(missing: str) -> None:
    tensors = {name: part for name, part in module_of(CASE).items() if name != missing}
    with pytest.raises(CheckpointError, match=missing):
        resolved(tensors, settings_of(CASE))


def test_words_that_config_json_says_nothing_of_are_refused() -> None:
    stored = {
        name: StoredTensor(name, dtype, tuple(shape), "file", 0, len(data))
        for name, (dtype, shape, data) in module_of(CASE).items()
    }
    with pytest.raises(CheckpointError) as caught:
        Plain({}).resolve(stored, lambda tensor, offset, nbytes: memoryview(b""))
    assert (caught.value.code, caught.value.where) == ("missing-quantization", "m.weight")


def test_stacks_of_different_sizes_are_refused() -> None:
    module = "l.mlp.switch_mlp.up_proj"
    stack: dict[str, Stored] = {
        name: (dtype, [count, *shape], data * count)
        for count, (name, (dtype, shape, data)) in enumerate(module_of(CASE, module).items(), 1)
    }
    with pytest.raises(CheckpointError) as caught:
        resolved(stack, settings_of(CASE))
    assert caught.value.code == "bad-quantization-config"


def test_a_stack_of_nothing_is_refused() -> None:
    """However many there are of it: a header of a few bytes can name 10**12 experts."""
    stack: dict[str, Stored] = {
        name: (dtype, [10**12, 0, 0], b"")
        for name, (dtype, _, _) in module_of(CASE, "l.mlp.switch_mlp.up_proj").items()
    }
    with pytest.raises(CheckpointError) as caught:
        resolved(stack, settings_of(CASE))
    assert caught.value.code == "bad-quantization-config"


def test_a_checkpoint_is_written_without_loss(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """Without --type: Q4_1 holds what MLX stores in 4 bits."""
    folder = copied(checkpoint("qwen2-tied"), tmp_path)
    tensors, expected = quantized(read_tensors(folder / "model.safetensors"))
    write_tensors(folder / "model.safetensors", tensors)
    settings = {"bits": 4, "group_size": 64}
    edit_json(
        folder / "config.json",
        lambda it: it.update(quantization=settings, quantization_config=settings),
    )
    made = api.convert(str(folder), api.Options(output=tmp_path / "out", jobs=1)).files[0]
    assert made.type == "Q4_1"
    found = {tensor.name: tensor for tensor in gguf.GGUFReader(made.path).tensors}
    for name, values in expected.items():
        tensor = found[name]
        assert tensor.tensor_type.name == "Q4_1"
        assert np.array_equal(dequantize(tensor.data, tensor.tensor_type), values)


@pytest.mark.parametrize("model", ["qwen3next", "qwen35"])
def test_norms_that_mlx_lm_changed_are_not_changed_again(
    model: str,
    checkpoint: Callable[[str], Path],
    cousin: Callable[[str], Cousin],
    tmp_path: Path,
) -> None:
    """mlx_lm (qwen3_next.py, qwen3_5.py: sanitize) adds 1 to these and leaves MTP out."""
    whole = checkpoint(model) if model == "qwen3next" else cousin(model).checkpoint
    folder = copied(whole, tmp_path / "theirs")
    tensors = {
        name: sanitized(name, stored)
        for name, stored in read_tensors(folder / "model.safetensors").items()
        if "mtp." not in name
    }
    write_tensors(folder / "model.safetensors", tensors)
    ours, theirs = f32_of(whole, tmp_path / "a"), f32_of(folder, tmp_path / "b")
    assert theirs.keys() <= ours.keys()
    assert all(ours[name] == data for name, data in theirs.items())


NORMS = (
    ".input_layernorm.weight", ".post_attention_layernorm.weight", "model.norm.weight",
    ".q_norm.weight", ".k_norm.weight",
)  # fmt: skip


def sanitized(name: str, stored: Stored) -> Stored:
    dtype, shape, data = stored
    if name.endswith("conv1d.weight"):
        return dtype, [shape[0], shape[2], shape[1]], data
    if not name.endswith(NORMS):
        return stored
    values = widen(np.frombuffer(data, NUMPY_DTYPES[dtype]), dtype)
    return "F32", shape, (values + np.float32(1)).tobytes()


def f32_of(folder: Path, output: Path) -> dict[str, bytes]:
    options = api.Options(types=("F32",), output=output, jobs=1)
    file = api.convert(str(folder), options).files[0].path
    return {tensor.name: tensor.data.tobytes() for tensor in gguf.GGUFReader(file).tensors}


def quantized(
    tensors: Mapping[str, Stored],
) -> tuple[dict[str, Stored], dict[str, NDArray[np.float32]]]:
    """Codes that count up in all matrices, with scale 1/64 and bias -1/8; and some values."""
    stored: dict[str, Stored] = {}
    for name, (dtype, shape, data) in tensors.items():
        if len(shape) == 1:
            stored[name] = (dtype, shape, data)
            continue
        rows, cols = shape
        module = name.removesuffix(".weight")
        words = np.full(rows * cols // 8, 0x76543210, "<u4")
        scales = np.full(rows * cols // 64, 1 / 64, "<f2")
        biases = np.full(rows * cols // 64, -1 / 8, "<f2")
        stored[name] = ("U32", [rows, cols // 8], words.tobytes())
        stored[f"{module}.scales"] = ("F16", [rows, cols // 64], scales.tobytes())
        stored[f"{module}.biases"] = ("F16", [rows, cols // 64], biases.tobytes())
    rows, cols = tensors["model.layers.0.mlp.down_proj.weight"][1]
    row = np.tile(np.arange(8, dtype=np.float32) / 64 - 1 / 8, cols // 8)
    return stored, {"blk.0.ffn_down.weight": np.tile(row, (rows, 1))}
