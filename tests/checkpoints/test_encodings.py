"""Checkpoints whose weights are stored quantized: the kit says what they decode to.

Its expectations come from the libraries that made them. Whole files are compared with those of a
plain checkpoint of the decoded values, whose conversion other tests compare with llama.cpp's.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save_file

from quantize import api
from quantize.checkpoints.checkpoint import Checkpoint, open_checkpoint, stored_tensors
from quantize.checkpoints.encodings import ENCODINGS, encoding_of, understanding
from quantize.errors import CheckpointError, QuantizeError, UnsupportedError, UsageError
from quantize.kernels.small_floats import decode_e5m2
from quantize.storage.local import LocalFolder
from quantize.tensors import as_rows
from tests.conftest import kit_module

CASES = (
    "awq-gemm-4bit-g128", "awq-gemm-4bit-g32", "awq-gemm-4bit-g64-skip",
    "bitnet-autobitlinear", "bitnet-bitlinear",
    "bnb-fp4", "bnb-fp4-double", "bnb-int8", "bnb-nf4", "bnb-nf4-double", "bnb-nf4-storage-bf16",
    "ct-fp8-block", "ct-fp8-channel-dynamic", "ct-fp8-tensor-static", "ct-int3-group-packed",
    "ct-int3-group-packed-old", "ct-int4-actorder", "ct-int4-asym-actorder",
    "ct-int4-channel-asym", "ct-int4-channel-sym", "ct-int4-group-asym", "ct-int4-group-sym",
    "ct-int8-group-packed", "ct-mixed-fp8-int4", "ct-mxfp4", "ct-mxfp8", "ct-nvfp4",
    "ct-w8a8-int", "ct-w8a8-int-asym-tensor",
    "fp8-block-bf16scale", "fp8-block-f32scale-odd", "fp8-block-ue8m0", "fp8-fbgemm-row",
    "fp8-modelopt", "fp8-tensor-static-autofp8", "fp8-tensor-static-scaleinv",
    "gptq-2bit-g64-asym", "gptq-3bit-g64-asym", "gptq-3bit-g64-sym-actorder-v2",
    "gptq-4bit-channel", "gptq-4bit-g128-actorder", "gptq-4bit-g128-asym-oldstyle",
    "gptq-4bit-g128-sym", "gptq-4bit-g32-asym-actorder-v2", "gptq-4bit-g64-asym-zero0",
    "gptq-8bit-g32-sym", "gptq-dynamic-4-8-skip", "nvfp4-modelopt", "torchao-fp8", "torchao-int8",
)  # fmt: skip
BASES = ("lora-base", "lora-gpt2-base")
TYPES = ("F32", "Q8_0", "Q4_K_M")

Edit = Callable[[dict[str, Any]], None]
# A tensor of any dtype: its name, its shape, its bytes.
Raw = tuple[str, list[int], bytes]


@pytest.fixture(scope="session")
def judge(encodings: Path) -> ModuleType:
    return kit_module(encodings, "check_encodings")


def opened(folder: Path) -> Checkpoint:
    return open_checkpoint(LocalFolder(folder), folder.name)


def decoded(source: Checkpoint) -> dict[str, NDArray[np.float32]]:
    return {
        name: source.decode_rows(name, 0, as_rows(weight.shape)[0]).reshape(weight.shape)
        for name, weight in source.weights.items()
    }


def test_no_case_of_the_kit_is_left_out(encodings: Path) -> None:
    adapters = {path.parent.name for path in encodings.glob("*/adapter_config.json")}
    assert {path.parent.name for path in encodings.glob("*/config.json")} == {*CASES, *BASES}
    assert adapters | {*CASES, *BASES} == {path.stem for path in encodings.glob("expected/*.json")}


@pytest.mark.parametrize("case", [*CASES, *BASES])
def test_a_case_decodes_to_its_expectation(case: str, encodings: Path, judge: ModuleType) -> None:
    values = decoded(opened(encodings / case))
    expected = json.loads((encodings / "expected" / f"{case}.json").read_text("utf-8"))
    assert values.keys() == expected["weights"].keys()
    for name, array in values.items():
        assert judge.check(case, name, array) == []


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=25)
@given(data=st.data())
def test_rows_do_not_depend_on_the_range_they_are_read_in(
    case: str, encodings: Path, data: st.DataObject
) -> None:
    # A worker process has a pickled copy.
    source: Checkpoint = pickle.loads(pickle.dumps(opened(encodings / case)))
    name = data.draw(st.sampled_from([w.name for w in source.weights.values() if w.encoding]))
    rows = as_rows(source.weights[name].shape)[0]
    lo = data.draw(st.integers(0, rows))
    hi = data.draw(st.integers(lo, rows))
    whole = source.decode_rows(name, 0, rows)
    part = source.decode_rows(name, lo, hi)
    assert part.dtype == np.float32
    assert part.flags.writeable
    assert part.tobytes() == whole[lo:hi].tobytes()


@pytest.mark.parametrize("case", CASES)
def test_files_are_those_of_the_decoded_checkpoint(
    case: str, encodings: Path, tmp_path: Path
) -> None:
    source = encodings / case
    plain = tmp_path / "plain" / case
    write_checkpoint(source, plain, decoded(opened(source)), drop_quantization)
    for folder, output in ((source, "encoded"), (plain, "decoded")):
        api.convert(str(folder), api.Options(types=TYPES, output=tmp_path / output, jobs=1))
    for kind in TYPES:
        file = f"{case}-{kind}.gguf"
        same = (tmp_path / "encoded" / file).read_bytes()
        assert same == (tmp_path / "decoded" / file).read_bytes()


def write_checkpoint(
    source: Path, target: Path, tensors: Mapping[str, NDArray[Any]], edit: Edit
) -> None:
    """`source` with other tensors and an edited config.json."""
    target.mkdir(parents=True)
    for file in source.iterdir():
        if file.suffix != ".safetensors" and "safetensors.index" not in file.name:
            (target / file.name).write_bytes(file.read_bytes())
    config = json.loads((source / "config.json").read_text("utf-8"))
    edit(config)
    (target / "config.json").write_text(json.dumps(config), "utf-8")
    (target / "hf_quant_config.json").unlink(missing_ok=True)
    (target / "quantize_config.json").unlink(missing_ok=True)
    save_file(dict(tensors), target / "model.safetensors")


def drop_quantization(config: dict[str, Any]) -> None:
    config.pop("quantization_config")


KEPT = {
    "gptq-4bit-g128-sym": "Q4_0",
    "gptq-4bit-channel": "Q4_0",
    "gptq-8bit-g32-sym": "Q8_0",
    "ct-int4-group-sym": "Q4_0",
    "ct-int8-group-packed": "Q8_0",
    "ct-w8a8-int": "Q8_0",
    "ct-mxfp4": "MXFP4",
}


@pytest.mark.parametrize("case", KEPT)
def test_a_grid_that_a_type_holds_is_moved_without_loss(
    case: str, encodings: Path, tmp_path: Path
) -> None:
    """Decoded by the gguf package: the F32 file of the same source, bit for bit."""
    folder = str(encodings / case)
    kept = api.convert(folder, api.Options(output=tmp_path / "kept", jobs=1)).files[0].path
    exact = api.convert(folder, api.Options(types=("F32",), output=tmp_path / "f32", jobs=1))
    values = {t.name: t for t in gguf.GGUFReader(exact.files[0].path).tensors}
    types = set()
    for tensor in gguf.GGUFReader(kept).tensors:
        if ".attn_" in tensor.name or ".ffn_" in tensor.name:
            if values[tensor.name].shape.size == 1:
                continue
            types.add(tensor.tensor_type.name)
            have = dequantize(tensor.data, tensor.tensor_type)
            want = np.asarray(values[tensor.name].data).reshape(have.shape)
            assert np.array_equal(have, want)
    assert types == {KEPT[case]}


def test_without_a_type_the_source_chooses(encodings: Path, tinyrust: Path) -> None:
    chosen = {
        case: api.plan(str(encodings / case), api.Options()).plans[0].recipe_name
        for case in ("gptq-4bit-g128-sym", "bnb-nf4", "fp8-block-bf16scale", "ct-mxfp4")
    }
    assert chosen == {
        "gptq-4bit-g128-sym": "Q4_0",
        "bnb-nf4": "Q8_0",
        "fp8-block-bf16scale": "Q8_0",
        "ct-mxfp4": "MXFP4_MOE",
    }
    assert api.plan(str(tinyrust), api.Options()).plans[0].recipe_name == "Q4_K_M"


def test_auto_goes_alone(encodings: Path) -> None:
    with pytest.raises(UsageError) as caught:
        api.plan(str(encodings / "bnb-nf4"), api.Options(types=("auto", "F16")))
    assert caught.value.code == "auto-with-others"


def test_a_plan_says_that_quality_is_bounded(encodings: Path) -> None:
    notes = api.plan(str(encodings / "bnb-nf4"), api.Options(types=("Q8_0",))).notes
    assert len(notes) == 1
    assert notes[0].startswith("bitsandbytes: the weights are quantized already")
    assert api.plan(str(encodings / "lora-base"), api.Options(types=("Q8_0",))).notes == ()


def test_a_grid_that_the_config_makes_up_is_refused(encodings: Path, tmp_path: Path) -> None:
    """Asymmetric weights under a config that calls them symmetric decode, but do not move."""
    source = encodings / "gptq-4bit-g64-asym-zero0"

    def lie(config: dict[str, Any]) -> None:
        config["quantization_config"]["sym"] = True

    write_raw(source, tmp_path / "liar", all_raw(source), lie)
    with pytest.raises(CheckpointError) as caught:
        api.convert(str(tmp_path / "liar"), api.Options(output=tmp_path / "out", jobs=1))
    assert caught.value.code == "off-grid"
    api.convert(str(tmp_path / "liar"), api.Options(types=("Q8_0",), output=tmp_path, jobs=1))


DOWN = "model.layers.0.mlp.down_proj"
UNKNOWN: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "method": ("bnb-nf4", {"quant_method": "hqq"}),
    "awq version": ("awq-gemm-4bit-g32", {"version": "gemv"}),
    "awq bits": ("awq-gemm-4bit-g32", {"bits": 3}),
    "gptq format": ("gptq-4bit-channel", {"checkpoint_format": "marlin"}),
    "gptq bits": ("gptq-4bit-channel", {"bits": 5}),
    "ct format": ("ct-int4-group-sym", {"format": "marlin-24"}),
    "modelopt algorithm": ("fp8-modelopt", {"quant_algo": "W4A8_AWQ"}),
    "bitnet mode": ("bitnet-autobitlinear", {"quantization_mode": "online"}),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_is_unknown_is_refused_with_what_is_known(
    what: str, encodings: Path, tmp_path: Path
) -> None:
    case, changed = UNKNOWN[what]
    folder = changed_copy(encodings / case, tmp_path / case, changed)
    with pytest.raises(UnsupportedError) as caught:
        opened(folder)
    assert caught.value.reason is not None
    assert str(next(iter(changed.values()))) in caught.value.message


def changed_copy(
    source: Path, target: Path, changed: Mapping[str, Any], without: Sequence[str] = ()
) -> Path:
    """A copy with changed entries of quantization_config, and without some tensors."""

    def edit(config: dict[str, Any]) -> None:
        config["quantization_config"] |= changed

    kept = {name: tensor for name, tensor in all_raw(source).items() if name not in without}
    write_raw(source, target, kept, edit)
    return target


def all_raw(folder: Path) -> dict[str, Raw]:
    files = sorted(folder.glob("*.safetensors"))
    return {name: tensor for file in files for name, tensor in raw_tensors(file).items()}


def raw_tensors(file: Path) -> dict[str, Raw]:
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    body = data[8 + size :]
    return {
        name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }


def write_raw(source: Path, target: Path, tensors: Mapping[str, Raw], edit: Edit) -> None:
    write_checkpoint(source, target, {}, edit)
    header: dict[str, Any] = {}
    body = b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {
            "dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]
        }  # fmt: skip
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (target / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)


LIES: Mapping[str, tuple[str, Mapping[str, Any], str]] = {
    "gptq: other group size": ("gptq-4bit-g128-sym", {"group_size": 64}, ""),
    "gptq: other bits": ("gptq-4bit-g128-sym", {"bits": 8}, ""),
    "gptq: no scales": ("gptq-4bit-g128-sym", {}, f"{DOWN}.scales"),
    "gptq: no zero points": ("gptq-4bit-g128-sym", {}, f"{DOWN}.qzeros"),
    "awq: other group size": ("awq-gemm-4bit-g32", {"group_size": 64}, ""),
    "awq: no scales": ("awq-gemm-4bit-g32", {}, f"{DOWN}.scales"),
    "fp8: other blocks": ("fp8-block-bf16scale", {"weight_block_size": [64, 64]}, ""),
    "fp8: blocks of nothing": ("fp8-block-bf16scale", {"weight_block_size": [0, 64]}, ""),
    "fp8: no scales": ("fp8-block-bf16scale", {}, f"{DOWN}.weight_scale_inv"),
    "fbgemm: no scales": ("fp8-fbgemm-row", {}, f"{DOWN}.weight_scale"),
    "modelopt: no scales": ("fp8-modelopt", {}, f"{DOWN}.weight_scale"),
    "nvfp4: no second scale": ("nvfp4-modelopt", {}, f"{DOWN}.weight_scale"),
    "bnb: no statistics": ("bnb-nf4", {}, f"{DOWN}.weight.absmax"),
    "bnb: no values": ("bnb-nf4", {}, f"{DOWN}.weight.quant_map"),
    "bnb: no nested statistics": ("bnb-nf4-double", {}, f"{DOWN}.weight.nested_absmax"),
    "bnb: no statistics of rows": ("bnb-int8", {}, f"{DOWN}.SCB"),
    "ct: no scales": ("ct-int4-group-sym", {}, f"{DOWN}.weight_scale"),
    "ct: no shape": ("ct-int4-group-sym", {}, f"{DOWN}.weight_shape"),
    "ct: no global scale": ("ct-nvfp4", {}, f"{DOWN}.weight_global_scale"),
    "bitnet: no scale": ("bitnet-bitlinear", {}, f"{DOWN}.weight_scale"),
    "torchao: no scales": ("torchao-int8", {}, f"{DOWN}._weight_scale"),
}


@pytest.mark.parametrize("what", LIES)
def test_a_config_that_lies_is_found_before_anything_is_written(
    what: str, encodings: Path, tmp_path: Path
) -> None:
    case, changed, without = LIES[what]
    folder = changed_copy(encodings / case, tmp_path / case, changed, [without])
    with pytest.raises(CheckpointError) as caught:
        opened(folder)
    assert caught.value.reason is not None
    assert caught.value.code in {"missing-part", "bad-part", "bad-quantization-config"}


def test_groups_that_do_not_exist_are_refused(encodings: Path, tmp_path: Path) -> None:
    source = encodings / "gptq-4bit-g128-actorder"
    tensors = all_raw(source)
    dtype, shape, data = tensors[f"{DOWN}.g_idx"]
    tensors[f"{DOWN}.g_idx"] = (dtype, shape, (np.frombuffer(data, "<i4") + 1).tobytes())
    write_raw(source, tmp_path / "copy", tensors, lambda config: None)
    with pytest.raises(CheckpointError) as caught:
        opened(tmp_path / "copy").decode_rows(f"{DOWN}.weight", 0, 1)
    assert caught.value.code == "bad-group-index"


NONSENSE: tuple[Any, ...] = (
    None, -1, 0, 10**9, 1.5, True, "x", "re:(", [], [1], [None], {}, {"a": 1}, {"(": {}},
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_nonsense_in_a_config_is_an_error_of_ours(case: str, encodings: Path) -> None:
    """Every setting, replaced: it does not matter, or it is refused."""
    source = opened(encodings / case)
    config = source.config["quantization_config"]
    stored = stored_tensors(source.files)
    refused: list[QuantizeError] = []
    for path in setting_paths(config):
        for value in NONSENSE:
            declared = {"quantization_config": replaced(config, path, value)}
            try:
                with understanding():
                    encoding = encoding_of(declared, lambda name: None)
                    encoding.resolve(stored, source._read)
            except QuantizeError as error:
                refused.append(error)
    assert refused  # quant_method itself, if nothing else
    assert all(error.reason for error in refused)


def setting_paths(config: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(config, dict):
        for key, value in config.items():
            yield (*above, key)
            yield from setting_paths(value, (*above, key))


def replaced(config: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    key, *below = path
    return {**config, key: replaced(config[key], tuple(below), value) if below else value}


def test_e5m2_is_the_upper_half_of_float16() -> None:
    codes = np.arange(256, dtype=np.uint8)
    halves = (codes.astype(np.uint16) << 8).view(np.float16).astype(np.float32)
    assert np.array_equal(decode_e5m2(codes), halves, equal_nan=True)


def test_settings_beside_config_json_are_read(encodings: Path, tmp_path: Path) -> None:
    """Older GPTQ checkpoints have quantize_config.json alone."""
    source = encodings / "gptq-4bit-g128-sym"
    config = json.loads((source / "config.json").read_text("utf-8"))["quantization_config"]
    config.pop("quant_method")
    write_raw(source, tmp_path / "copy", all_raw(source), drop_quantization)
    (tmp_path / "copy" / "quantize_config.json").write_text(json.dumps(config), "utf-8")
    ours, theirs = decoded(opened(tmp_path / "copy")), decoded(opened(source))
    assert {name: array.tobytes() for name, array in ours.items()} == {
        name: array.tobytes() for name, array in theirs.items()
    }


def test_every_encoding_says_what_it_accepts() -> None:
    for method in ENCODINGS:
        assert ENCODINGS[method]({}).accepts
