"""The search for a signed scale, compiled: twin of `kernels.symmetric`, for Q6_K."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import compiled

F32Array = NDArray[np.float32]

SUB = 16
# Blocks side by side, and rows handled while their sums stay in registers: tuned, free of meaning.
LANES = 128
STRIP = 2

_ZERO = np.float32(0)
_ONE = np.float32(1)
_NOTHING = np.float32(1e-15)  # kernels.symmetric.NOTHING

# Rows of the search's result.
SCALE, INVERSE = range(2)


@compiled
def search(blocks: F32Array, nmax: np.float32, reaches: F32Array, out: F32Array) -> None:
    """Fit blocks in rows, `(B, 16)`, into `out`, `(2, B)`: scale and factor of the levels.

    `reaches` is what the largest value is scaled to: first -nmax, then the candidates around it.
    """
    x = np.empty((SUB, LANES), np.float32)
    square = np.empty_like(x)
    cube = np.empty_like(x)
    top = np.empty(LANES, np.float32)
    inverse = np.empty(LANES, np.float32)
    sums = np.empty((2, LANES), np.float32)
    best = np.empty(LANES, np.float32)
    fit = np.empty((2, LANES), np.float32)
    count = blocks.shape[0]
    for start in range(0, count, LANES):
        _load(blocks, start, x, square, cube)
        _find_top(x, top)
        best[:] = -_ONE
        for reach in reaches:
            for lane in range(LANES):
                inverse[lane] = reach / (_ONE if abs(top[lane]) < _NOTHING else top[lane])
            _sum(x, square, cube, inverse, nmax, sums)
            _take(sums, inverse, best, fit)
        for lane in range(min(LANES, count - start)):
            nothing = abs(top[lane]) < _NOTHING
            out[SCALE, start + lane] = _ZERO if nothing else fit[SCALE, lane]
            out[INVERSE, start + lane] = _ZERO if nothing else fit[INVERSE, lane]


@compiled
def _load(blocks: F32Array, start: int, x: F32Array, square: F32Array, cube: F32Array) -> None:
    """Turn blocks into lanes; lanes beyond the last block repeat it."""
    last = blocks.shape[0] - 1
    for lane in range(LANES):
        block = blocks[min(start + lane, last)]
        for i in range(SUB):
            x[i, lane] = block[i]
    for i in range(SUB):
        row, second, third = x[i], square[i], cube[i]
        for lane in range(LANES):
            second[lane] = row[lane] * row[lane]
            third[lane] = second[lane] * row[lane]


@compiled
def _find_top(x: F32Array, top: F32Array) -> None:
    """The value of largest magnitude, the first where several tie."""
    top[:] = _ZERO
    for i in range(SUB):
        row = x[i]
        for lane in range(LANES):
            top[lane] = row[lane] if abs(row[lane]) > abs(top[lane]) else top[lane]


@compiled
def _sum(
    x: F32Array,
    square: F32Array,
    cube: F32Array,
    inverse: F32Array,
    nmax: np.float32,
    sums: F32Array,
) -> None:
    """Sums of x**3 * level and x**2 * level**2."""
    sums[:] = _ZERO
    for i in range(0, SUB, STRIP):
        values, seconds, thirds = x[i : i + STRIP], square[i : i + STRIP], cube[i : i + STRIP]
        for lane in range(LANES):
            sum_lx, sum_l2 = sums[0, lane], sums[1, lane]
            for j in range(STRIP):
                level = np.rint(values[j, lane] * inverse[lane])
                level = max(level, -nmax)
                level = min(level, nmax - _ONE)
                sum_lx += thirds[j, lane] * level
                sum_l2 += seconds[j, lane] * level * level
            sums[0, lane], sums[1, lane] = sum_lx, sum_l2


@compiled
def _take(sums: F32Array, inverse: F32Array, best: F32Array, fit: F32Array) -> None:
    """Take a candidate that explains more energy; the first one always (`best` is -1 then)."""
    for lane in range(LANES):
        sum_lx, sum_l2 = sums[0, lane], sums[1, lane]
        first = best[lane] == -_ONE
        better = (sum_l2 > _ZERO) & (sum_lx * sum_lx > best[lane] * sum_l2)
        scale = sum_lx / sum_l2 if sum_l2 != _ZERO else _ZERO
        best[lane] = scale * sum_lx if first | better else best[lane]
        fit[SCALE, lane] = scale if first | better else fit[SCALE, lane]
        fit[INVERSE, lane] = inverse[lane] if first | better else fit[INVERSE, lane]
