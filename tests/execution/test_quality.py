"""How far values are from a reference: the sums agree with the formulas, however they are cut."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from quantize.execution.error_sums import TensorQuality, measure

Array = NDArray[np.float32]
FINITE = {"allow_nan": False, "allow_infinity": False}
PAIRS = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        *[hnp.arrays(np.float32, n, elements=st.floats(-1e3, 1e3, width=32, **FINITE))] * 2
    )
)


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def noisy(reference: Array, noise: float) -> Array:
    return reference + np.float32(noise) * normal(*reference.shape, seed=1)


@pytest.mark.parametrize("shape", [(7,), (1, 1), (300, 64), (5, 40_000), (3, 4, 5)])
@pytest.mark.parametrize("noise", [1e-3, 0.1, 3.0])
def test_the_measures_are_their_formulas(shape: tuple[int, ...], noise: float) -> None:
    reference = normal(*shape)
    values = noisy(reference, noise)
    found = measure(reference, values)
    a, b = (side.astype(np.float64).reshape(-1) for side in (reference, values))
    assert found.count == a.size
    assert found.relative_rms == pytest.approx(
        np.sqrt(np.mean((a - b) ** 2)) / np.sqrt(np.mean(a**2)), rel=1e-12
    )
    assert found.snr_db == pytest.approx(
        10 * np.log10(np.sum(a**2) / np.sum((a - b) ** 2)), rel=1e-12
    )
    assert found.cosine == pytest.approx(
        np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)), abs=1e-12
    )
    assert found.largest == np.abs(a - b).max()


def test_a_small_angle_is_not_rounded_away() -> None:
    """Orthogonal to (1, 0), an error of 1e-9 leaves a cosine of 1 - 5e-19; of 1e-6, 1 - 5e-13."""
    one = np.array([1, 0], np.float32)
    assert measure(one, np.array([1, 1e-9], np.float32)).cosine == 1.0
    angle = 1 - measure(one, np.array([1, 1e-6], np.float32)).cosine
    assert angle == pytest.approx(5e-13, rel=1e-3)


@given(PAIRS)
def test_no_measure_leaves_its_range(pair: tuple[Array, Array]) -> None:
    found = measure(*pair)
    assert -1 <= found.cosine <= 1
    assert found.relative_rms is None or found.relative_rms >= 0
    assert found.snr_db is None or math.isfinite(found.snr_db)
    assert found.exact == bool(np.array_equal(*pair))


@given(PAIRS, st.integers(0, 60))
def test_parts_add_up_to_the_whole(pair: tuple[Array, Array], cut: int) -> None:
    a, b = pair
    parts = measure(a[:cut], b[:cut]) + measure(a[cut:], b[cut:])
    whole = measure(a, b)
    assert (parts.count, parts.largest) == (whole.count, whole.largest)
    for name in ("reference", "error"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-14)
    scale = math.sqrt(whole.reference * whole.error)
    assert parts.cross == pytest.approx(whole.cross, abs=1e-14 * scale)


@pytest.mark.parametrize("cols", [1, 3, 64, 257, 20_000])
def test_rows_add_up_to_the_same_however_they_are_parted(cols: int) -> None:
    rows = max(2, 70_000 // cols)
    a = normal(rows, cols) * np.geomspace(1e-9, 1e9, rows, dtype=np.float32)[:, None]
    b = noisy(a, 0.1)
    a[rows // 2, -1] = np.nan
    whole = measure(a, b)
    cuts = sorted({0, 1, rows // 3, rows // 2, rows - 1, rows})
    parts = [measure(a[lo:hi], b[lo:hi]) for lo, hi in itertools.pairwise(cuts)]
    assert sum(reversed(parts), TensorQuality()) == whole
    assert sum((measure(a[n::5], b[n::5]) for n in range(5)), TensorQuality()) == whole


def test_a_part_stands_for_the_whole() -> None:
    part = measure(normal(3, 64), noisy(normal(3, 64), 0.1))
    whole = part.times(6400, 192)
    assert whole.count == 6400
    assert whole.largest == part.largest
    for name in ("relative_rms", "snr_db", "cosine"):
        assert getattr(whole, name) == pytest.approx(getattr(part, name), rel=1e-12)
    assert part.times(192, 192) == part


@given(hnp.arrays(np.float32, 20, elements=st.floats(width=32, **FINITE)))
def test_nothing_differs_from_itself(values: Array) -> None:
    found = measure(values, values.copy())
    assert found.exact
    assert (found.relative_rms, found.cosine, found.largest) == (0.0, 1.0, 0.0)
    assert found.snr_db is None


def test_the_largest_and_smallest_numbers_are_summed() -> None:
    limits = np.finfo(np.float32)
    for size in (limits.max, limits.smallest_subnormal):
        found = measure(np.array([size, size], np.float32), np.array([size, -size], np.float32))
        assert found.relative_rms == pytest.approx(math.sqrt(2))
        assert found.cosine == pytest.approx(0.0, abs=1e-15)


def test_zeros_have_measures() -> None:
    zeros, ones = np.zeros(4, np.float32), np.ones(4, np.float32)
    nothing = measure(zeros, zeros)
    assert (nothing.relative_rms, nothing.cosine, nothing.snr_db) == (0.0, 1.0, None)
    appeared = measure(zeros, ones)
    assert (appeared.relative_rms, appeared.cosine, appeared.snr_db) == (None, 0.0, None)
    vanished = measure(ones, zeros)
    assert (vanished.relative_rms, vanished.cosine, vanished.snr_db) == (1.0, 0.0, 0.0)
    assert measure(ones, -ones).cosine == -1.0
    assert measure(zeros[:0], ones[:0]) == TensorQuality()


def test_values_that_are_no_numbers_are_counted_and_left_out() -> None:
    reference = normal(70_000)
    values = noisy(reference, 0.1)
    expected = measure(np.delete(reference, [5, 9, 69_999]), np.delete(values, [5, 9, 69_999]))
    reference[[5, 9]] = np.nan, np.inf
    values[[9, 69_999]] = np.inf, -np.inf
    found = measure(reference, values)
    assert (found.reference_not_finite, found.not_finite) == (2, 2)
    assert (found.count, found.largest) == (expected.count, expected.largest)
    assert found.error == pytest.approx(expected.error, rel=1e-12)
    assert not found.exact
    broken = np.full(3, np.nan, np.float32)
    assert measure(broken, broken) == TensorQuality(reference_not_finite=3, not_finite=3)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be held against"):
        measure(normal(4, 2), normal(2, 4))
