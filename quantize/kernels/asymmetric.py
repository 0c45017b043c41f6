"""The search for a scale and a minimum: x is about `scale * level + low`, level from 0 to nmax.

Q4_K and Q5_K use it (with an importance matrix Q2_K, Q4_1 and Q5_1 too). For each candidate range
of levels the weighted least squares fit is tried, and taken where its error is smaller. A taken
fit moves `low`, and later candidates start from there. Source: ggml's make_qkx2_quants and
make_qkx3_quants, which do the same arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.rounding import EXACT, nearest_int, ordered_sum
from quantize.kernels.workspace import scratch

F32Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Ranges to try: `nmax + start + step * i` levels for i from 0 to `last`.

    `absolute` measures the error by magnitude instead of by square.
    """

    nmax: int
    start: float
    step: float
    last: int
    absolute: bool = False

    def ranges(self) -> list[np.float32]:
        """Summed in float32 in ggml's order: start + step * i, then + nmax."""
        start, step = np.float32(self.start), np.float32(self.step)
        return [start + step * np.float32(i) + np.float32(self.nmax) for i in range(self.last + 1)]


@dataclass(frozen=True, slots=True)
class Fit:
    """The best scale and minimum of each block, `(B,)` each.

    `level_range` and `level_low` are what the levels of the best candidate were rounded with.
    `flat` marks blocks whose values are all one (at most zero): scale 0, levels 0.
    """

    scale: F32Array
    low: F32Array
    level_range: F32Array
    level_low: F32Array
    high: F32Array
    flat: NDArray[np.bool_]


def fit_scale_min(x: F32Array, weights: F32Array, candidates: Candidates) -> Fit:
    """Search the scale and minimum of every block.

    `x` and `weights` are `(elements, B)`, C-contiguous: one block per column.
    """
    nmax = np.float32(candidates.nmax)
    low = smallest(x)
    high = np.maximum.reduce(x, axis=0)
    bottom = low.copy()
    low[low > 0] = 0
    flat = high == low
    sum_w = ordered_sum(weights)
    product = scratch("product", x.shape)
    sum_x = ordered_sum(np.multiply(weights, x, out=product))

    span = _span(high, low, flat)
    level_range = np.full_like(low, nmax)
    level_low = low.copy()
    inverse = nmax / span
    scale = np.float32(1) / inverse
    levels = scratch("levels", x.shape)
    _levels(x, bottom, low, inverse, candidates.nmax, levels)
    best = _error(x, weights, levels, scale, low, absolute=candidates.absolute)

    for trial in candidates.ranges():
        np.divide(trial, _span(high, low, flat), out=inverse)
        _levels(x, bottom, low, inverse, candidates.nmax, levels)
        np.multiply(weights, levels, out=product)
        sum_l = ordered_sum(product)
        square = np.multiply(product, levels, out=scratch("difference", x.shape))
        sum_l2 = ordered_sum(square)
        sum_xl = ordered_sum(np.multiply(product, x, out=product))

        determinant = sum_w * sum_l2 - sum_l * sum_l
        new_scale = np.divide(sum_w * sum_xl - sum_x * sum_l, determinant)
        new_low = np.divide(sum_l2 * sum_x - sum_l * sum_xl, determinant)
        positive = np.flatnonzero(new_low > 0)
        new_low[positive] = 0
        new_scale[positive] = sum_xl[positive] / sum_l2[positive]
        error = _error(x, weights, levels, new_scale, new_low, absolute=candidates.absolute)

        taken = np.flatnonzero((determinant > 0) & (error < best))
        best[taken] = error[taken]
        scale[taken] = new_scale[taken]
        level_range[taken] = trial
        level_low[taken] = low[taken]
        low[taken] = new_low[taken]

    scale[flat] = 0
    return Fit(scale, low, level_range, level_low, high, flat)


def smallest(x: F32Array) -> F32Array:
    """The smallest value of each column; of zeros with both signs the first, whose sign is kept."""
    low: F32Array = np.minimum.reduce(x, axis=0)
    zero = np.flatnonzero(low == 0)
    low[zero] = x[np.argmin(x[:, zero], axis=0), zero]
    return low


def search_levels(x: F32Array, fit: Fit, nmax: int, columns: NDArray[np.intp]) -> F32Array:
    """Levels that the search ended with, for some blocks only: `(elements, len(columns))`."""
    flat = fit.flat[columns]
    span = _span(fit.high[columns], fit.level_low[columns], flat)
    levels = (x[:, columns] - fit.level_low[columns]) * (fit.level_range[columns] / span)
    rounded = nearest_int(levels)
    rounded[:, flat] = 0
    return np.clip(rounded, 0, nmax).astype(np.float32)


def _span(high: F32Array, low: F32Array, flat: NDArray[np.bool_]) -> F32Array:
    span: F32Array = high - low
    span[flat] = 1  # unused value; 1 avoids infinities in this lane
    return span


def _levels(
    x: F32Array, bottom: F32Array, low: F32Array, inverse: F32Array, nmax: int, out: F32Array
) -> None:
    """Levels of `x`, whose smallest values are `bottom`.

    At the top `x * inverse` is about nmax. At the bottom it can be anything where a fit has moved
    `low`, and the reciprocal of the smallest subnormals is infinite.
    """
    np.subtract(x, low, out=out)
    np.multiply(out, inverse, out=out)
    if ((low - bottom) * inverse < EXACT).all():
        np.rint(out, out=out)
    else:
        out[...] = nearest_int(out)
    np.clip(out, 0, nmax, out=out)


def _error(
    x: F32Array,
    weights: F32Array,
    levels: F32Array,
    scale: F32Array,
    low: F32Array,
    *,
    absolute: bool,
) -> F32Array:
    difference = scratch("difference", x.shape)
    np.multiply(levels, scale, out=difference)
    np.add(difference, low, out=difference)
    np.subtract(difference, x, out=difference)
    if absolute:
        np.abs(difference, out=difference)
    else:
        np.multiply(difference, difference, out=difference)
    np.multiply(difference, weights, out=difference)
    return ordered_sum(difference)
