"""The search for scale and minimum, compiled: twin of `kernels.asymmetric`, for Q4_K and Q5_K."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import compiled

F32Array = NDArray[np.float32]

SUB = 32
# Blocks side by side, and rows handled while their sums stay in registers: tuned, free of meaning.
LANES = 128
STRIP = 2

_ZERO = np.float32(0)
_ONE = np.float32(1)
_SUB = np.float32(SUB)
_EXACT = np.float32(4e6)  # kernels.rounding.EXACT

# Rows of the search's result.
SCALE, LOW, LEVEL_LOW, LEVEL_INVERSE = range(4)


@compiled
def search(blocks: F32Array, nmax: np.float32, ranges: F32Array, out: F32Array) -> bool:
    """Fit blocks in rows, `(B, 32)`, into `out`, `(4, B)`.

    `out` gets scale and minimum, and the minimum and factor that the levels were rounded with. The
    answer is False where a value left the range of plain rounding: then `out` is not to be used.
    """
    x = np.empty((SUB, LANES), np.float32)
    weights = np.empty_like(x)
    fit = np.empty((4, LANES), np.float32)
    grid = np.empty((2, LANES), np.float32)  # low, inverse
    total = np.empty((2, LANES), np.float32)  # of weights, of weighted values
    ends = np.empty((2, LANES), np.float32)  # bottom, high
    sums = np.empty((3, LANES), np.float32)
    trial = np.empty((3, LANES), np.float32)  # scale, low, determinant
    error = np.empty(LANES, np.float32)
    best = np.empty(LANES, np.float32)
    odd = np.zeros(LANES, np.float32)
    count = blocks.shape[0]
    for start in range(0, count, LANES):
        _load(blocks, start, x)
        _weigh(x, weights, ends, total)
        _begin(ends, nmax, fit, grid)
        _mark(ends, grid, odd)
        _errors(x, weights, grid, fit, nmax, best)
        for reach in ranges:
            _set_grid(ends, fit, reach, grid)
            _mark(ends, grid, odd)
            _sum(x, weights, grid, nmax, sums)
            _solve(total, sums, trial)
            _errors(x, weights, grid, trial, nmax, error)
            _take(trial, error, grid, best, fit)
        for lane in range(min(LANES, count - start)):
            flat = ends[1, lane] == min(ends[0, lane], _ZERO)
            out[SCALE, start + lane] = _ZERO if flat else fit[SCALE, lane]
            out[LOW, start + lane] = fit[LOW, lane]
            out[LEVEL_LOW, start + lane] = fit[LEVEL_LOW, lane]
            out[LEVEL_INVERSE, start + lane] = _ZERO if flat else fit[LEVEL_INVERSE, lane]
    return bool(odd.max() == _ZERO)


@compiled
def _load(blocks: F32Array, start: int, x: F32Array) -> None:
    """Turn blocks into lanes; lanes beyond the last block repeat it."""
    last = blocks.shape[0] - 1
    for lane in range(LANES):
        block = blocks[min(start + lane, last)]
        for i in range(SUB):
            x[i, lane] = block[i]


@compiled
def _weigh(x: F32Array, weights: F32Array, ends: F32Array, total: F32Array) -> None:
    """Weights |x| + root mean square, their sums, and the smallest and largest values."""
    bottom, high, sum_w, sum_x = ends[0], ends[1], total[0], total[1]
    sum_w[:] = _ZERO
    for i in range(SUB):
        row = x[i]
        for lane in range(LANES):
            sum_w[lane] += row[lane] * row[lane]
    rms = np.sqrt(sum_w / _SUB)
    bottom[:] = x[0]
    high[:] = x[0]
    sum_w[:] = _ZERO
    sum_x[:] = _ZERO
    for i in range(SUB):
        row, weight = x[i], weights[i]
        for lane in range(LANES):
            value = row[lane]
            weight[lane] = rms[lane] + abs(value)
            bottom[lane] = min(bottom[lane], value)
            high[lane] = max(high[lane], value)
            sum_w[lane] += weight[lane]
            sum_x[lane] += weight[lane] * value


@compiled
def _begin(ends: F32Array, nmax: np.float32, fit: F32Array, grid: F32Array) -> None:
    for lane in range(LANES):
        bottom = ends[0, lane]
        fit[LOW, lane] = min(bottom, _ZERO)
    _set_grid(ends, fit, nmax, grid)
    for lane in range(LANES):
        fit[SCALE, lane] = _ONE / grid[1, lane]
        fit[LEVEL_LOW, lane] = grid[0, lane]
        fit[LEVEL_INVERSE, lane] = grid[1, lane]


@compiled
def _set_grid(ends: F32Array, fit: F32Array, reach: np.float32, grid: F32Array) -> None:
    for lane in range(LANES):
        span = ends[1, lane] - fit[LOW, lane]
        grid[0, lane] = fit[LOW, lane]
        grid[1, lane] = reach / (_ONE if span == _ZERO else span)


@compiled
def _mark(ends: F32Array, grid: F32Array, odd: F32Array) -> None:
    for lane in range(LANES):
        plain = (grid[0, lane] - ends[0, lane]) * grid[1, lane] < _EXACT
        odd[lane] = odd[lane] if plain else _ONE


@compiled
def _sum(x: F32Array, weights: F32Array, grid: F32Array, nmax: np.float32, sums: F32Array) -> None:
    """Sums of weight * level, weight * level**2 and weight * level * value."""
    low, inverse = grid[0], grid[1]
    sums[:] = _ZERO
    for i in range(0, SUB, STRIP):
        values, weight = x[i : i + STRIP], weights[i : i + STRIP]
        for lane in range(LANES):
            sum_l, sum_l2, sum_xl = sums[0, lane], sums[1, lane], sums[2, lane]
            for j in range(STRIP):
                value = values[j, lane]
                level = np.rint((value - low[lane]) * inverse[lane])
                level = max(level, _ZERO)
                level = min(level, nmax)
                product = weight[j, lane] * level
                sum_l += product
                sum_l2 += product * level
                sum_xl += product * value
            sums[0, lane], sums[1, lane], sums[2, lane] = sum_l, sum_l2, sum_xl


@compiled
def _solve(total: F32Array, sums: F32Array, trial: F32Array) -> None:
    """Weighted least squares; a positive minimum is set to zero and the scale fitted again."""
    for lane in range(LANES):
        sum_w, sum_x = total[0, lane], total[1, lane]
        sum_l, sum_l2, sum_xl = sums[0, lane], sums[1, lane], sums[2, lane]
        determinant = sum_w * sum_l2 - sum_l * sum_l
        scale = (sum_w * sum_xl - sum_x * sum_l) / determinant
        low = (sum_l2 * sum_x - sum_l * sum_xl) / determinant
        alone = sum_xl / sum_l2
        trial[0, lane] = alone if low > _ZERO else scale
        trial[1, lane] = min(low, _ZERO)
        trial[2, lane] = determinant


@compiled
def _errors(
    x: F32Array,
    weights: F32Array,
    grid: F32Array,
    trial: F32Array,
    nmax: np.float32,
    error: F32Array,
) -> None:
    """Weighted squared error of `trial`. Computing the levels again is faster than storing them."""
    low, inverse, scale, new_low = grid[0], grid[1], trial[0], trial[1]
    error[:] = _ZERO
    for i in range(0, SUB, STRIP):
        values, weight = x[i : i + STRIP], weights[i : i + STRIP]
        for lane in range(LANES):
            total = error[lane]
            for j in range(STRIP):
                value = values[j, lane]
                level = np.rint((value - low[lane]) * inverse[lane])
                level = max(level, _ZERO)
                level = min(level, nmax)
                difference = level * scale[lane] + new_low[lane] - value
                total += weight[j, lane] * (difference * difference)
            error[lane] = total


@compiled
def _take(trial: F32Array, error: F32Array, grid: F32Array, best: F32Array, fit: F32Array) -> None:
    for lane in range(LANES):
        better = (trial[2, lane] > _ZERO) & (error[lane] < best[lane])
        best[lane] = error[lane] if better else best[lane]
        fit[SCALE, lane] = trial[0, lane] if better else fit[SCALE, lane]
        fit[LOW, lane] = trial[1, lane] if better else fit[LOW, lane]
        fit[LEVEL_LOW, lane] = grid[0, lane] if better else fit[LEVEL_LOW, lane]
        fit[LEVEL_INVERSE, lane] = grid[1, lane] if better else fit[LEVEL_INVERSE, lane]
