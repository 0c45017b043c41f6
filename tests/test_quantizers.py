"""Every ggml type gives ggml's bytes, on the kit's golden blocks and for any cut of the rows."""

from __future__ import annotations

import pkgutil
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import quantize.quantizers
from quantize.quantizers import QUANTIZERS, TWINS
from quantize.quantizers.base import BlockQuantizer

NAMES = list(QUANTIZERS)
GOLDEN = [name for name in NAMES if name != "F32"]  # the kit has no need of F32
# Types whose golden file has blocks made with an importance matrix.
WEIGHTED = [
    "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS",
]  # fmt: skip

# Finite values of every magnitude, with zeros of both signs and many repeated values.
FLOATS = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 127.0, 2.0**-149, -(2.0**-127), 65504.0]),
    st.floats(-1, 1, width=32),
)


def rows_of(cols: int) -> st.SearchStrategy[NDArray[np.float32]]:
    shapes = st.tuples(st.integers(1, 5), st.just(cols))
    return hnp.arrays(np.float32, shapes, elements=FLOATS)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_blocks_come_out_byte_for_byte(name: str, kit: Path) -> None:
    golden = np.load(kit / "blocks" / f"{name}.npz")
    data = QUANTIZERS[name].quantize(golden["rows"])
    wrong = (data != golden["expected"]).any(axis=1)
    assert not wrong.any(), list(golden["labels"][wrong])


@pytest.mark.parametrize("name", WEIGHTED)
def test_golden_blocks_come_out_byte_for_byte_with_an_importance_matrix(
    name: str, kit: Path
) -> None:
    golden = np.load(kit / "blocks" / f"{name}.npz")
    for imatrix, expected in zip(golden["imatrix"], golden["expected_imatrix"], strict=True):
        data = QUANTIZERS[name].quantize(golden["rows"], imatrix)
        wrong = (data != expected).any(axis=1)
        assert not wrong.any(), list(golden["labels"][wrong])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WEIGHTED])
def test_types_without_a_search_ignore_the_importance_matrix(name: str) -> None:
    rows = np.random.default_rng(3).standard_normal((4, 512), np.float32)
    quantizer = QUANTIZERS[name]
    weighted = quantizer.quantize(rows, np.arange(512, dtype=np.float32))
    np.testing.assert_array_equal(weighted, quantizer.quantize(rows))


@pytest.mark.parametrize("name", WEIGHTED)
def test_an_importance_matrix_of_another_length_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="importance matrix"):
        QUANTIZERS[name].quantize(np.zeros((2, 512), np.float32), np.ones(256, np.float32))


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_blocks_decode_as_gguf_decodes_them(name: str, kit: Path) -> None:
    data = np.load(kit / "blocks" / f"{name}.npz")["expected"]
    oracle = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[name])
    np.testing.assert_array_equal(QUANTIZERS[name].dequantize(data), oracle, strict=True)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=25)
@given(rows=rows_of(256))
def test_a_row_has_the_same_bytes_alone_and_in_company(
    name: str, rows: NDArray[np.float32]
) -> None:
    quantizer = QUANTIZERS[name]
    together = quantizer.quantize(rows)
    alone = [quantizer.quantize(rows[i : i + 1]) for i in range(len(rows))]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    imatrix = np.linspace(0, 2, 256, dtype=np.float32)
    weighted = [quantizer.quantize(rows[i : i + 1], imatrix) for i in range(len(rows))]
    np.testing.assert_array_equal(quantizer.quantize(rows, imatrix), np.concatenate(weighted))
    decoded = [quantizer.dequantize(data) for data in alone]
    np.testing.assert_array_equal(quantizer.dequantize(together), np.concatenate(decoded))


@pytest.mark.parametrize("name", NAMES)
def test_rows_beyond_one_chunk_have_the_same_bytes(name: str) -> None:
    rows = np.random.default_rng(1).standard_normal((3, 700 * 256), np.float32)
    quantizer = QUANTIZERS[name]
    pieces = [quantizer.quantize(rows[:, lo : lo + 256]) for lo in range(0, rows.shape[1], 256)]
    np.testing.assert_array_equal(quantizer.quantize(rows), np.concatenate(pieces, axis=1))


@pytest.mark.parametrize("name", NAMES)
def test_rows_need_not_be_contiguous(name: str) -> None:
    rows = np.random.default_rng(2).standard_normal((256, 6), np.float32).T
    quantizer = QUANTIZERS[name]
    data = quantizer.quantize(rows)
    np.testing.assert_array_equal(data, quantizer.quantize(np.ascontiguousarray(rows)))
    strided = np.repeat(data, 2, axis=1)[:, ::2]
    np.testing.assert_array_equal(quantizer.dequantize(strided), quantizer.dequantize(data))


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_those_of_gguf(name: str) -> None:
    kind = QUANTIZERS[name].type
    assert kind.name == name
    expected = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    assert (kind.block_size, kind.type_size) == expected
    assert kind.id == gguf.GGMLQuantizationType[name].value


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("F32", "F16", "BF16")])
def test_a_row_that_is_no_whole_number_of_blocks_is_an_error(name: str) -> None:
    quantizer = QUANTIZERS[name]
    with pytest.raises(ValueError, match="whole number"):
        quantizer.quantize(np.zeros((2, 257), np.float32))
    with pytest.raises(ValueError, match="whole number"):
        quantizer.dequantize(np.zeros((2, quantizer.type.type_size + 1), np.uint8))


def test_every_module_is_registered() -> None:
    """The twins are functions of one module, registered one by one."""
    modules = {info.name for info in pkgutil.iter_modules(quantize.quantizers.__path__)}
    rows = [*QUANTIZERS.table.values(), *TWINS.table.values()]
    registered = {row.partition(":")[0].rpartition(".")[2] for row in rows}
    assert modules - {"base"} == registered


def test_the_golden_files_agree_on_who_takes_an_importance_matrix(kit: Path) -> None:
    files = (kit / "blocks").glob("*.npz")
    assert sorted(path.stem for path in files if "imatrix" in np.load(path)) == sorted(WEIGHTED)


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_scale_beyond_float16_is_counted(name: str) -> None:
    quantizer = QUANTIZERS[name]
    assert isinstance(quantizer, BlockQuantizer)
    rows = np.zeros((3, 512), np.float32)
    rows[0] = np.linspace(-1, 1, 512)
    assert quantizer.overflows(quantizer.quantize(rows)) == 0
    rows[1, 300] = -1e9
    assert quantizer.overflows(quantizer.quantize(rows)) == 1
