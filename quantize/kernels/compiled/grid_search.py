"""The search of IQ2 and IQ3, compiled: twin of `kernels.grid_search`.

Sixteen sub-blocks go side by side through roundings and sums. Points near a cell go side by side
too, sixteen of them against one group of weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import compiled, device, inlined
from quantize.kernels.compiled.lanes import load_columns
from quantize.kernels.compiled.rounding import at_most, nearest_level
from quantize.kernels.compiled.vector import (
    LANES,
    Floats,
    choose,
    equal,
    lane,
    load,
    load_bytes,
    splat,
    splat_from,
    sqrt,
    store,
    swap_lanes,
    to_float,
    truncate,
)

F32Array = NDArray[np.float32]
I32Array = NDArray[np.int32]
U8Array = NDArray[np.uint8]


class Points(NamedTuple):
    """A `kernels.grids.Grid` for vectors; all arrays are flat.

    `number` is that of each cell's point. Cells without one have vectors of nearby points, from
    `first` up to `end`. `odd` are the numbers q of points, one point after the other; `near` those
    of nearby points, a vector for each weight of a group. `near_number` ends with a 0 that is
    near no cell.
    """

    levels: int
    dims: int
    number: I32Array
    first: I32Array
    end: I32Array
    odd: U8Array
    near: U8Array
    near_number: I32Array


# Scratch: arrays of as many vectors as a sub-block has weights, and what is known of sub-blocks.
_MOST = 32 * LANES
X, WEIGHTS, ROOTS, CODES, BEST, WANTED, KNOWN = (i * _MOST for i in range(7))
SCALE, AGAIN, ORDER = (KNOWN + i * LANES for i in range(3))
_WORK = KNOWN + 3 * LANES

# Again.MISSING and Again.ALL, by their values.
_MISSING, _ALL = 0, 2


@compiled
def search(
    x: F32Array,
    weights: F32Array,
    largest: F32Array,
    scale: F32Array,
    trial_maxima: F32Array,
    again: int,
    points: Points,
    numbers: I32Array,
) -> None:
    """Improve `scale` and fill `numbers`; sub-blocks are columns, of whole vectors in the first."""
    size, blocks = x.shape
    dims = points.dims
    work, q = np.empty(_WORK, np.float32), np.empty(_MOST, np.uint8)
    cells = np.empty(_MOST, np.int32)
    no_point = 2 * (points.near_number.size - 1) + 1
    for i in range(LANES):
        work[ORDER + i] = i
    for b in range(0, blocks, LANES):
        load_columns(x, b, work[X:])
        load_columns(weights, b, work[WEIGHTS:])
        for i in range(size):
            store(work, ROOTS + i * LANES, sqrt(load(work, WEIGHTS + i * LANES)))
        for g in range(size // dims):
            store(work, BEST + g * LANES, splat(0.0 if again == _MISSING else no_point))
            store(work, WANTED + g * LANES, splat(1.0))
        best_scale, best = load(scale, b), splat(0.0)
        for trial in trial_maxima:
            inverse = splat(trial) / load(largest, b)
            _round(work, size, inverse, splat(1.0) / inverse, points, cells)
            _settle(work, size, points, cells, q)
            sum_qx, sum_q2 = _sums(work, size, q)
            better = (sum_q2 > splat(0.0)) & (sum_qx * sum_qx > best * sum_q2)
            best_scale = choose(better, sum_qx / sum_q2, best_scale)
            best = choose(better, best_scale * sum_qx, best)
            for at in range(0, size // dims * LANES, LANES):
                code = choose(better, load(work, CODES + at), load(work, BEST + at))
                store(work, BEST + at, code)

        _round(work, size, splat(1.0) / best_scale, best_scale, points, cells)
        _want(work, size, dims, again)
        _settle(work, size, points, cells, q)
        sum_qx, sum_q2 = _sums(work, size, q)
        fits = (sum_q2 > splat(0.0)) & (load(work, AGAIN) > splat(0.0))
        store(scale, b, choose(fits, sum_qx / sum_q2, best_scale))
        _decode(work, points, numbers[:, b:])


@device
def _round(
    work: F32Array, size: int, inverse: Floats, scale: Floats, points: Points, cells: I32Array
) -> None:
    """The cells of all groups at a scale."""
    levels, dims = points.levels, points.dims
    store(work, SCALE, scale)
    half, one, base = splat(0.5), splat(1.0), splat(levels)
    for g in range(size // dims):
        cell = splat(0.0)
        for i in range(g * dims + dims - 1, g * dims - 1, -1):
            scaled = half * (inverse * load(work, X + i * LANES) - one)
            cell = cell * base + to_float(nearest_level(scaled, 0, levels - 1))
        store(cells, g * LANES, truncate(cell))


@device
def _settle(work: F32Array, size: int, points: Points, cells: I32Array, q: U8Array) -> None:
    """For each wanted group, find its point's code and odd numbers; the others keep theirs.

    The code of a point is twice its number; off the grid, one more than twice its place nearby.
    """
    _, dims, number_of, first, end, odd, near, near_number = points
    for g in range(size // dims):
        for i in range(LANES):
            at, to = g * LANES + i, g * dims * LANES + i
            cell = cells[at]
            number = number_of[cell]
            if work[WANTED + at] > 0 and number < 0:
                vector, within = _nearest(work, to, i, dims, near, first[cell], end[cell])
                work[CODES + at] = 2 * (vector * LANES + within) + 1
                source = vector * dims * LANES + within
                for j in range(dims):
                    q[to + j * LANES] = near[source + j * LANES]
            else:
                if work[WANTED + at] == 0:
                    code = int(work[BEST + at])
                    work[CODES + at] = code
                    number = near_number[code >> 1] if code & 1 == 1 else code >> 1
                else:
                    work[CODES + at] = 2 * number
                for j in range(dims):
                    q[to + j * LANES] = odd[number * dims + j]


@device
def _want(work: F32Array, size: int, dims: int, again: int) -> None:
    """Which groups are to look for their points once more, and in which sub-blocks any does."""
    for i in range(LANES):
        some = again == _ALL
        for at in range(i, size // dims * LANES, LANES):
            some |= int(work[BEST + at]) & 1 == 1
        some &= work[SCALE + i] > 0
        work[AGAIN + i] = 1 if some else 0
        for at in range(i, size // dims * LANES, LANES):
            missing = again != _MISSING or int(work[BEST + at]) & 1 == 1
            work[WANTED + at] = 1 if some and missing else 0


@inlined
def _nearest(
    work: F32Array, at: int, i: int, dims: int, near: U8Array, first: int, end: int
) -> tuple[int, int]:
    """Which of the points from vector `first` on costs least, the first in a tie: vector, lane."""
    scale, order = splat_from(work, SCALE + i), load(work, ORDER)
    least, place = splat(np.inf), order
    for vector in range(first, end):
        total = splat(0.0)
        for four in range(0, dims, 4):
            for j in range(four, four + 4):
                odd = load_bytes(near, (vector * dims + j) * LANES)
                difference = scale * odd - splat_from(work, X + at + j * LANES)
                cost = splat_from(work, ROOTS + at + j * LANES) * difference * difference
                total = total + cost
        better = total < least
        least = choose(better, total, least)
        place = choose(better, order + splat((vector - first) * LANES), place)
    place = choose(equal(least, _smallest(least)), place, splat(np.inf))
    nearest = lane(truncate(_smallest(place)), 0)
    return first + nearest // LANES, nearest % LANES


@inlined
def _smallest(values: Floats) -> Floats:
    values = at_most(values, swap_lanes(values, 1))
    values = at_most(values, swap_lanes(values, 2))
    values = at_most(values, swap_lanes(values, 4))
    return at_most(values, swap_lanes(values, 8))


@device
def _sums(work: F32Array, size: int, q: U8Array) -> tuple[Floats, Floats]:
    """Of weight * x * q and of weight * q**2."""
    sum_qx, sum_q2 = splat(0.0), splat(0.0)
    for at in range(0, size * LANES, LANES):
        weight, number = load(work, WEIGHTS + at), load_bytes(q, at)
        sum_qx = sum_qx + weight * load(work, X + at) * number
        sum_q2 = sum_q2 + weight * number * number
    return sum_qx, sum_q2


@device
def _decode(work: F32Array, points: Points, numbers: I32Array) -> None:
    """Numbers of codes; `numbers` may have less columns than there are lanes."""
    near_number = points.near_number
    for g in range(numbers.shape[0]):
        for i in range(min(LANES, numbers.shape[1])):
            code = int(work[CODES + g * LANES + i])
            numbers[g, i] = near_number[code >> 1] if code & 1 == 1 else code >> 1
