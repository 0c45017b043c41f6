"""IQ1_S and IQ1_M, compiled: twin of `kernels.shifted`.

Sixteen blocks go side by side through all splits. Sorting before that, and finding points of the
grid after it, is work on one block at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import compiled, part
from quantize.kernels.compiled.splits import OF_W, OF_X, RIGHT_W, RIGHT_X, SUMS, search
from quantize.kernels.compiled.vector import LANES

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
    nothing: np.float32,
    shifts: F32Array,
    grid: Grid,
    scale: F32Array,
    shift: F32Array,
    number: I32Array,
) -> None:
    """Fill in scale, shift and number of blocks in columns; all arrays are flat.

    A block that is left out keeps what it has. `nothing` and `shifts` are those of a
    `kernels.shifted.Rule`.
    """
    blocks = scale.size
    size, groups = x.size // blocks, number.size // blocks
    block, weight = np.zeros(LANES * size, np.float32), np.zeros(LANES * size, np.float32)
    order, levels = np.empty(LANES * size, np.int32), np.empty(size, np.int32)
    sums, errors = np.zeros(SUMS, np.float32), np.empty(3 * GROUP, np.float32)
    best, candidate = np.empty(LANES, np.float32), np.empty(LANES, np.int32)
    for b in range(0, blocks, LANES):
        lanes = min(LANES, blocks - b)
        for i in range(size):
            for lane in range(lanes):
                block[lane * size + i] = x[i * blocks + b + lane]
                weight[lane * size + i] = weights[i * blocks + b + lane]
        for lane in range(lanes):
            own = slice(lane * size, lane * size + size)
            _sort(block[own], order[own])
            _add(block[own], weight[own], order[own], sums[lane:])
        search(sums, size, best, candidate)
        for lane in range(lanes):
            own, at = slice(lane * size, lane * size + size), b + lane
            if candidate[lane] < 0 or np.abs(block[own]).max() < nothing:
                continue
            kind = _split(candidate[lane], shifts.size // groups, best[lane], order[own], levels)
            sign = np.float32(-1 if best[lane] < 0 else 1)
            for g in range(groups):
                shift[g * blocks + at] = sign * shifts[kind * groups + g]
            scale[at] = _settle(
                block[own], weight[own], abs(best[lane]), shift[at::blocks], levels,
                grid, errors, number[at::blocks],
            )  # fmt: skip


@part
def _sort(values: F32Array, order: I32Array) -> None:
    """Ascending; equal values keep their order."""
    for i in range(values.size):
        place = i
        while place > 0 and values[order[place - 1]] > values[i]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = i


@part
def _add(values: F32Array, weights: F32Array, order: I32Array, sums: F32Array) -> None:
    """The running sums of one lane."""
    left_x, left_w, right_x, right_w = _ZERO, _ZERO, _ZERO, _ZERO
    for place in range(values.size):
        i = order[place]
        if values.size == 2 * GROUP and i >= GROUP:
            right_x += weights[i] * values[i]
            right_w += weights[i]
        else:
            left_x += weights[i] * values[i]
            left_w += weights[i]
        at = (place + 1) * LANES
        sums[OF_X + at], sums[OF_W + at] = left_x, left_w
        sums[RIGHT_X + at], sums[RIGHT_W + at] = right_x, right_w


@part
def _split(candidate: int, kinds: int, scale: np.float32, order: I32Array, levels: I32Array) -> int:
    """The levels 0, 1, 2 that a candidate gives the weights, and which of the kinds it is."""
    first, between = 0, candidate // kinds
    while between > order.size - first:
        between -= order.size - first + 1
        first += 1
    for place in range(order.size):
        level = int(place >= first) + int(place >= first + between)
        levels[order[place]] = 2 - level if scale < 0 else level
    return candidate % kinds


@part
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
            _weigh(values[GROUP * g :], weights[GROUP * g :], scale, shift[g], errors)
            number[g] = _nearest(errors, grid, cell)
            moved = True
    if moved:
        return _fitted(values, weights, scale, shift, grid[0], number)
    return scale


@part
def _weigh(
    values: F32Array, weights: F32Array, scale: np.float32, shift: np.float32, errors: F32Array
) -> None:
    """What each level of each weight would cost."""
    for i in range(GROUP):
        for level in range(3):
            difference = scale * (np.float32(level - 1) + shift) - values[i]
            errors[3 * i + level] = weights[i] * difference * difference


@part
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


@part
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
    for i in range(values.size):
        g, element = divmod(i, GROUP)
        level = np.float32(points[GROUP * number[g] + element]) - _ONE + shift[g]
        product = weights[i] * level
        sum_qx += product * values[i]
        sum_q2 += product * level
    return sum_qx / sum_q2 if sum_qx > 0 and sum_q2 > 0 else scale
