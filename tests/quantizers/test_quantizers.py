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
from tests.support.golden_blocks import NEEDY, OURS, WEIGHTED, golden_blocks

NAMES = list(QUANTIZERS)
GOLDEN = [name for name in NAMES if name != "F32"]  # nobody has need of F32

# Finite values of every magnitude, with zeros of both signs and many repeated values.
FLOATS = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 127.0, 2.0**-149, -(2.0**-127), 65504.0]),
    st.floats(-1, 1, width=32),
)


def rows_of(cols: int) -> st.SearchStrategy[NDArray[np.float32]]:
    shapes = st.tuples(st.integers(1, 5), st.just(cols))
    return hnp.arrays(np.float32, shapes, elements=FLOATS)


def plain(name: str, rows: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Quantized without an importance matrix, or with one that knows nothing."""
    matrix = np.ones(rows.shape[1], np.float32) if name in NEEDY else None
    return QUANTIZERS[name].quantize(rows, matrix)


@pytest.mark.parametrize("name", [name for name in GOLDEN if name not in NEEDY])
def test_golden_blocks_come_out_byte_for_byte(name: str, kit: Path) -> None:
    golden = golden_blocks(kit, name)
    assert golden.expected is not None
    data = QUANTIZERS[name].quantize(golden.rows)
    assert golden.wrong(data, golden.expected) == []


@pytest.mark.parametrize("name", WEIGHTED)
def test_golden_blocks_come_out_byte_for_byte_with_an_importance_matrix(
    name: str, kit: Path
) -> None:
    golden = golden_blocks(kit, name)
    for imatrix, expected in golden.weighted:
        data = QUANTIZERS[name].quantize(golden.rows, imatrix)
        assert golden.wrong(data, expected) == []


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


def test_a_type_that_needs_an_importance_matrix_says_so() -> None:
    for name in NEEDY:
        with pytest.raises(ValueError, match=f"{name} needs an importance matrix"):
            QUANTIZERS[name].quantize(np.ones((2, 512), np.float32))


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_blocks_decode_as_gguf_decodes_them(name: str, kit: Path) -> None:
    golden = golden_blocks(kit, name)
    oracle = golden.decoded
    if oracle is None:
        oracle = gguf.quants.dequantize(golden.data(), gguf.GGMLQuantizationType[name])
    np.testing.assert_array_equal(QUANTIZERS[name].dequantize(golden.data()), oracle, strict=True)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(rows=rows_of(256))
def test_a_row_has_the_same_bytes_alone_and_in_company(
    name: str, rows: NDArray[np.float32]
) -> None:
    quantizer = QUANTIZERS[name]
    together = plain(name, rows)
    alone = [plain(name, rows[i : i + 1]) for i in range(len(rows))]
    np.testing.assert_array_equal(together, np.concatenate(alone))
    imatrix = np.linspace(0, 2, 256, dtype=np.float32)
    weighted = [quantizer.quantize(rows[i : i + 1], imatrix) for i in range(len(rows))]
    np.testing.assert_array_equal(quantizer.quantize(rows, imatrix), np.concatenate(weighted))
    decoded = [quantizer.dequantize(data) for data in alone]
    np.testing.assert_array_equal(quantizer.dequantize(together), np.concatenate(decoded))


@pytest.mark.parametrize("name", NAMES)
def test_rows_beyond_one_chunk_have_the_same_bytes(name: str) -> None:
    rows = np.random.default_rng(1).standard_normal((3, 700 * 256), np.float32)
    pieces = [plain(name, piece) for piece in np.split(rows, 50, axis=1)]
    np.testing.assert_array_equal(plain(name, rows), np.concatenate(pieces, axis=1))


@pytest.mark.parametrize("name", NAMES)
def test_rows_need_not_be_contiguous(name: str) -> None:
    rows = np.random.default_rng(2).standard_normal((256, 6), np.float32).T
    quantizer = QUANTIZERS[name]
    data = plain(name, rows)
    np.testing.assert_array_equal(data, plain(name, np.ascontiguousarray(rows)))
    strided = np.repeat(data, 2, axis=1)[:, ::2]
    np.testing.assert_array_equal(quantizer.dequantize(strided), quantizer.dequantize(data))


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name in gguf.GGMLQuantizationType.__members__]
)
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
    """The twins are functions of one module; the others serve several types."""
    modules = {info.name for info in pkgutil.iter_modules(quantize.quantizers.__path__)}
    rows = [*QUANTIZERS.table.values(), *TWINS.table.values()]
    registered = {row.partition(":")[0].rpartition(".")[2] for row in rows}
    assert modules - {"base", "blocks_of_32", "grids", "refined", "superblocks"} == registered


def test_the_golden_files_agree_on_who_takes_an_importance_matrix(kit: Path) -> None:
    files = [*(kit / "blocks").glob("*.npz"), *OURS.glob("*.npz")]
    names = [path.stem for path in files if path.stem in QUANTIZERS]
    assert sorted(name for name in names if golden_blocks(kit, name).weighted) == sorted(WEIGHTED)
    needy = [name for name in names if golden_blocks(kit, name).expected is None]
    assert sorted(needy) == sorted(NEEDY)
