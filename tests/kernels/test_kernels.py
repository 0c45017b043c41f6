"""The mechanisms of the kernels against definitions that do not share their tricks."""

from __future__ import annotations

import math
from fractions import Fraction

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from quantize.kernels import floats, grids, packing, rounding
from quantize.kernels.asymmetric import Candidates
from quantize.kernels.workspace import scratch

ANY_FLOAT32 = st.integers(0, 2**32 - 1).map(lambda bits: np.uint32(bits).view(np.float32))
BYTES = st.integers(0, 255)


@given(st.floats(-4194303, 4194303, width=32))
def test_nearest_int_rounds_half_to_even(value: float) -> None:
    assert rounding.nearest_int(np.array([value], np.float32))[0] == round(Fraction(value))


def test_nearest_int_beyond_its_range_is_what_the_mantissa_holds() -> None:
    values = np.array([np.inf, -np.inf, np.nan], np.float32)
    assert rounding.nearest_int(values).tolist() == [-4194304, -4194304, 0]


@given(st.floats(-4194303, 4194303, width=32))
def test_add_half_away_makes_truncation_round_half_away_from_zero(value: float) -> None:
    values = np.array([value], np.float32)
    rounding.add_half_away(values, np.empty(1, np.uint32))
    expected = math.copysign(math.floor(abs(Fraction(value)) + Fraction(1, 2)), value)
    assert math.trunc(float(values[0])) == expected


@given(st.data())
def test_ordered_sum_adds_one_element_after_another(data: st.DataObject) -> None:
    shape = (data.draw(st.integers(1, 40)), data.draw(st.integers(1, 4)))
    values = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(-8, 8, width=32)))
    expected = values[0].copy()
    for row in values[1:]:
        expected += row
    np.testing.assert_array_equal(rounding.ordered_sum(values), expected)
    out = np.empty(shape[1], np.float32)
    np.testing.assert_array_equal(rounding.ordered_sum(values, out), expected)


@given(hnp.arrays(np.float32, st.integers(1, 50), elements=ANY_FLOAT32))
def test_float16_is_numpys_conversion(values: NDArray[np.float32]) -> None:
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16)
    encoded = floats.encode_f16(values)
    np.testing.assert_array_equal(encoded.view(np.float16), expected)
    number = ~np.isnan(values)
    np.testing.assert_array_equal(encoded[number], expected.view(np.uint16)[number])


def test_float16_of_every_pattern_comes_back() -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    bits = bits[~np.isnan(bits.view(np.float16))]
    np.testing.assert_array_equal(floats.encode_f16(floats.decode_f16(bits)), bits)


@given(ANY_FLOAT32.filter(lambda value: bool(np.isfinite(value))))
def test_bfloat16_is_the_nearest_and_even_in_a_tie(value: np.float32) -> None:
    encoded = floats.encode_bf16(np.array([value], np.float32))
    bits = int(np.float32(value).view(np.uint32))
    low, rest = bits >> 16, bits & 0xFFFF
    up = rest > 0x8000 or (rest == 0x8000 and low & 1)
    assert int(encoded[0]) == low + int(up)


def test_bfloat16_keeps_nan_and_makes_it_quiet() -> None:
    nan = np.array([0x7F800001, 0xFF800001, 0x7FFFFFFF], np.uint32).view(np.float32)
    encoded = floats.encode_bf16(nan)
    assert encoded.tolist() == [0x7FC0, 0xFFC0, 0x7FFF]
    assert np.isnan(floats.decode_bf16(encoded)).all()


@given(st.integers(0, 70000), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_check_finite_finds_the_first(index: int, bad: float) -> None:
    values = np.zeros((7, 10001), np.float32)
    assert floats.check_finite(values) is None
    values.reshape(-1)[index:] = bad
    assert floats.check_finite(values) == index


def test_f16_overflows_counts_what_becomes_infinite() -> None:
    values = np.array([[65504, 65519.996, 65520, -65520, 1e30, -1, 0]], np.float32)
    with np.errstate(over="ignore"):
        expected = int(np.isinf(values.astype(np.float16)).sum())
    assert floats.f16_overflows(values) == expected
    assert floats.f16_overflows(np.full((3, 40000), -70000, np.float32)) == 120000
    assert floats.f16_overflows(np.full((3, 40000), 65504, np.float32)) == 0


@given(hnp.arrays(np.uint8, (5, 64), elements=BYTES))
def test_nibbles_come_back(packed: NDArray[np.uint8]) -> None:
    levels = packing.unpack_nibbles(packed, 32)
    out = np.empty_like(packed)
    packing.pack_nibbles(np.ascontiguousarray(levels.transpose(2, 1, 0)), out)
    np.testing.assert_array_equal(out, packed)


@given(hnp.arrays(np.uint8, (5, 16), elements=BYTES))
def test_halves_come_back(packed: NDArray[np.uint8]) -> None:
    out = np.empty_like(packed)
    packing.pack_halves(packing.unpack_halves(packed), out)
    np.testing.assert_array_equal(out, packed)


@given(hnp.arrays(np.uint8, (5, 12), elements=BYTES))
def test_six_bit_scales_come_back(packed: NDArray[np.uint8]) -> None:
    scales, mins = packing.unpack_scales(packed)
    assert max(scales.max(), mins.max()) < 64
    out = np.empty_like(packed)
    packing.pack_scales(scales.T, mins.T, out)
    np.testing.assert_array_equal(out, packed)


def test_candidate_ranges_are_float32_sums_in_ggmls_order() -> None:
    ranges = Candidates(nmax=15, start=-1.0, step=0.1, last=20).ranges()
    assert len(ranges) == 21
    step = np.float32(0.1)
    assert ranges[7] == (np.float32(-1) + step * np.float32(7)) + np.float32(15)
    assert all(value.dtype == np.float32 for value in ranges)


def test_scratch_is_the_same_memory_and_aligned() -> None:
    first = scratch("test", (4, 8))
    again = scratch("test", (8, 2))
    assert np.shares_memory(first, again)
    assert not np.shares_memory(first, scratch("other", (4, 8)))
    assert again.ctypes.data % 64 == 0


@pytest.mark.parametrize("name", list(grids.TABLES))
def test_grids_are_those_of_the_gguf_package(name: str) -> None:
    theirs = vars(gguf.quants)[name]
    theirs.init_grid()
    points = grids.grid(name).points
    expected = theirs.grid.reshape(points.shape)
    np.testing.assert_array_equal(np.array(theirs.grid_map, np.float32)[points], expected)


@pytest.mark.parametrize("name", list(grids.TABLES))
def test_points_near_a_cell_come_by_distance_and_number(name: str) -> None:
    grid, shells = grids.grid(name), grids.TABLES[name][2]
    missing = np.flatnonzero(grid.number < 0)
    assert len(missing) + len(grid.points) == len(grid.number) == grid.levels**grid.dims
    for cell in np.random.default_rng(0).choice(missing, 30):
        place = [cell // grid.levels**i % grid.levels for i in range(grid.dims)]
        distances = ((grid.points.astype(int) - place) ** 2).sum(axis=1).tolist()
        reach = sorted(set(distances))[shells - 1]
        pairs = sorted((distance, i) for i, distance in enumerate(distances))
        expected = [i for distance, i in pairs if distance <= reach]
        start = grid.start[cell]
        assert grid.nearby[start : start + grid.count[cell]].tolist() == expected


@pytest.mark.parametrize("name", list(grids.TABLES))
def test_points_have_the_numbers_of_their_cells(name: str) -> None:
    grid = grids.grid(name)
    cells = (grid.points * grid.levels ** np.arange(grid.dims)).sum(axis=1)
    np.testing.assert_array_equal(grid.number[cells], np.arange(len(grid.points)))
    assert not grid.count[cells].any()
