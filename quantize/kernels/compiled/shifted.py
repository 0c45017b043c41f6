"""IQ1_S and IQ1_M, compiled: twin of `kernels.shifted`.

Sixteen blocks go side by side through sorting and all splits. Finding points of the grid after that
is work on one block at a time, whose elements are LANES apart then.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import compiled, device
from quantize.kernels.compiled.lanes import load_columns
from quantize.kernels.compiled.rounding import at_least
from quantize.kernels.compiled.splits import OF_W, OF_X, RIGHT_W, RIGHT_X, SUMS, search
from quantize.kernels.compiled.vector import LANES, choose_int, load, splat, splat_int, store

F32Array = NDArray[np.float32]
I32Array = NDArray[np.int32]
U8Array = NDArray[np.uint8]

# Points, number, start, count and nearby of a `kernels.grids.Grid`.
Grid = tuple[U8Array, I32Array, I32Array, I32Array, I32Array]

GROUP = 8
_ZERO, _ONE = np.float32(0), np.float32(1)


@compiled
def fit(
    x: F32Array,
    weights: F32Array,
    epsilon: np.float32,
    shifts: F32Array,
    grid: Grid,
    scale: F32Array,
    shift: F32Array,
    number: I32Array,
) -> None:
    """Fill in scale, shift and number of blocks in columns, `(size, B)`; other arrays are flat.

    A block that is left out keeps what it has. `epsilon` and `shifts` are those of a
    `kernels.shifted.ShiftSearch`.
    """
    size, blocks = x.shape
    groups = number.size // blocks
    side, weight = np.empty(LANES * size, np.float32), np.empty(LANES * size, np.float32)
    places, order = np.empty(LANES * size, np.int32), np.empty(size, np.int32)
    sums, errors = np.zeros(SUMS, np.float32), np.empty(3 * GROUP, np.float32)
    peak, best = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    candidate, levels = np.empty(LANES, np.int32), np.empty(size, np.int32)
    for b in range(0, blocks, LANES):
        load_columns(x, b, side)
        load_columns(weights, b, weight)
        _sort(side, size, places, peak)
        for lane in range(LANES):
            _add(side[lane:], weight[lane:], places[lane:], order, sums[lane:])
        search(sums, size, best, candidate)
        for lane in range(min(LANES, blocks - b)):
            if candidate[lane] < 0 or peak[lane] < epsilon:
                continue
            kinds, at = shifts.size // groups, b + lane
            kind = _split(candidate[lane], kinds, best[lane], places[lane:], levels)
            sign = np.float32(-1 if best[lane] < 0 else 1)
            for g in range(groups):
                shift[g * blocks + at] = sign * shifts[kind * groups + g]
            scale[at] = _settle(
                side[lane:], weight[lane:], abs(best[lane]), shift[at::blocks], levels,
                grid, errors, number[at::blocks],
            )  # fmt: skip


@device
def _sort(x: F32Array, size: int, places: I32Array, peak: F32Array) -> None:
    """The place of each element in ascending order, where equal ones keep theirs; magnitudes."""
    one, zero, largest = splat_int(1), splat_int(0), splat(0.0)
    for i in range(size):
        value, place = load(x, i * LANES), zero
        for j in range(i):
            place = place + choose_int(value < load(x, j * LANES), zero, one)
        for j in range(i + 1, size):
            place = place + choose_int(load(x, j * LANES) < value, one, zero)
        store(places, i * LANES, place)
        largest = at_least(largest, abs(value))
    store(peak, 0, largest)


@device
def _add(
    values: F32Array, weights: F32Array, places: I32Array, order: I32Array, sums: F32Array
) -> None:
    """The running sums of one lane."""
    for i in range(order.size):
        order[places[i * LANES]] = i
    left_x, left_w, right_x, right_w = _ZERO, _ZERO, _ZERO, _ZERO
    for place in range(order.size):
        i, at = order[place], (place + 1) * LANES
        value, weight = values[i * LANES], weights[i * LANES]
        if order.size == 2 * GROUP and i >= GROUP:
            right_x += weight * value
            right_w += weight
        else:
            left_x += weight * value
            left_w += weight
        sums[OF_X + at], sums[OF_W + at] = left_x, left_w
        sums[RIGHT_X + at], sums[RIGHT_W + at] = right_x, right_w


@device
def _split(
    candidate: int, kinds: int, scale: np.float32, places: I32Array, levels: I32Array
) -> int:
    """The levels 0, 1, 2 that a candidate gives the weights, and which of the kinds it is."""
    first, between = 0, candidate // kinds
    while between > levels.size - first:
        between -= levels.size - first + 1
        first += 1
    for i in range(levels.size):
        place = places[i * LANES]
        level = int(place >= first) + int(place >= first + between)
        levels[i] = 2 - level if scale < 0 else level
    return candidate % kinds


@device
def _settle(
    values: F32Array,
    weights: F32Array,
    scale: np.float32,
    shift: F32Array,
    levels: I32Array,
    grid: Grid,
    errors: F32Array,
    number: I32Array,
) -> np.float32:
    """Points of the groups of a block, and the scale that then fits."""
    moved = False
    for g in range(number.size):
        cell = 0
        for i in range(GROUP * g + GROUP - 1, GROUP * g - 1, -1):
            cell = 3 * cell + levels[i]
        number[g] = grid[1][cell]
        if number[g] < 0:
            at = GROUP * LANES * g
            _weigh(values[at:], weights[at:], scale, shift[g], errors)
            number[g] = _nearest(errors, grid, cell)
            moved = True
    if moved:
        return _fitted(values, weights, scale, shift, grid[0], number)
    return scale


@device
def _weigh(
    values: F32Array, weights: F32Array, scale: np.float32, shift: np.float32, errors: F32Array
) -> None:
    """What each level of each weight would cost."""
    for i in range(GROUP):
        for level in range(3):
            difference = scale * (np.float32(level - 1) + shift) - values[i * LANES]
            errors[3 * i + level] = weights[i * LANES] * difference * difference


@device
def _nearest(errors: F32Array, grid: Grid, cell: int) -> int:
    """The first point of least error among those near a cell."""
    points, _, start, count, nearby = grid
    found, least = start[cell], np.float32(np.inf)
    for n in range(start[cell], start[cell] + count[cell]):
        total = _ZERO
        for i in range(GROUP):
            total += errors[3 * i + points[GROUP * nearby[n] + i]]
        if total < least:
            found, least = n, total
    return int(nearby[found])


@device
def _fitted(
    values: F32Array,
    weights: F32Array,
    scale: np.float32,
    shift: F32Array,
    points: U8Array,
    number: I32Array,
) -> np.float32:
    """The scale that fits levels best, or the old one where ggml keeps it."""
    sum_qx, sum_q2 = _ZERO, _ZERO
    for i in range(GROUP * number.size):
        g, element = divmod(i, GROUP)
        level = np.float32(points[GROUP * number[g] + element]) - _ONE + shift[g]
        product = weights[i * LANES] * level
        sum_qx += product * values[i * LANES]
        sum_q2 += product * level
    return sum_qx / sum_q2 if sum_qx > 0 and sum_q2 > 0 else scale
