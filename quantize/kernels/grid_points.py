"""Points of a grid for groups of weights at a given scale: IQ2 and IQ3.

Weights are rounded to a cell of the lattice. A cell off the grid gives way to the one among its
nearby points that costs least: `sum(root * (scale * q - x)**2)`, with the odd numbers
q = 2 * level + 1. Source: ggml's iq2_find_best_neighbour and iq3_find_best_neighbour.

Sub-blocks lie in columns, `(elements, B)`, and so do the numbers of their points, `(groups, B)`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.grids import grid
from quantize.kernels.rounding import ordered_sum, round_in_place
from quantize.kernels.workspace import scratch

F32Array = NDArray[np.float32]
I32Array = NDArray[np.int32]
Bools = NDArray[np.bool_]
Places = NDArray[np.intp]

# From so many nearby points per group on, sums of halves come first.
_MANY = 16
# Sums of eight numbers in two orders differ by less than this factor.
_MARGIN = np.float32(1 + 4e-6)


class Groups:
    """Sub-blocks as groups of weights that are rounded to points together."""

    def __init__(self, name: str, x: F32Array, weights: F32Array) -> None:
        self.name, self.x, self.weights = name, x, weights
        self.grid, self.halves = grid(name), _halves(name)
        self.weighted = weights * x
        self.count = len(x) // self.grid.dims
        self.points = np.ascontiguousarray(self.grid.points.T, np.intp)
        self.by_element = self._by_element(x)
        self.roots = np.sqrt(self._by_element(weights))

    def _by_element(self, values: F32Array) -> F32Array:
        """`(elements, B)` as `(elements of a group, groups * B)`."""
        parts = values.reshape(self.count, self.grid.dims, -1).transpose(1, 0, 2)
        return parts.reshape(self.grid.dims, -1)

    def points_at(self, inverse: F32Array, scale: F32Array) -> tuple[I32Array, Bools]:
        """The points of all groups at a scale `(B,)`, and which are where rounding led."""
        cells = self._cells(inverse)
        numbers = self.grid.number[cells]
        on_grid = numbers >= 0
        missing = np.flatnonzero(numbers < 0)
        if missing.size:
            scales = np.tile(scale, self.count)[missing]
            numbers.reshape(-1)[missing] = self._nearest(missing, cells.reshape(-1), scales)
        return numbers, on_grid

    def _cells(self, inverse: F32Array) -> NDArray[np.intp]:
        levels = np.multiply(inverse, self.x, out=scratch("levels", self.x.shape))
        np.subtract(levels, 1, out=levels)
        np.multiply(levels, np.float32(0.5), out=levels)
        round_in_place(levels)
        np.clip(levels, 0, self.grid.levels - 1, out=levels)
        digits = levels.reshape(self.count, self.grid.dims, -1)
        cells = digits[:, -1].copy()
        for i in range(self.grid.dims - 2, -1, -1):
            cells = cells * np.float32(self.grid.levels) + digits[:, i]
        whole: NDArray[np.intp] = cells.astype(np.intp)
        return whole

    def _nearest(
        self, which: NDArray[np.intp], cells: NDArray[np.intp], scale: F32Array
    ) -> I32Array:
        """The point near the cell of each group of `which` that costs least, the first in a tie."""
        cells = cells[which]
        counts = self.grid.count[cells]
        first = self.grid.start[cells]
        group = _runs("group", np.arange(len(first), dtype=np.int32), counts, 0)
        place = _runs("place", first, counts, 1)
        costs = self._costs(which, scale)

        if len(group) > _MANY * len(which):
            few = self._worth(costs, place, group, counts)
            place, group = place[few], group[few]
        points = self.grid.nearby[place]
        total = np.zeros(len(points), np.float32)
        for levels, cost in zip(self.points, costs, strict=True):
            total += cost.reshape(-1).take((levels * len(which)).take(points) + group)
        begin = np.flatnonzero(np.diff(group, prepend=-1))
        least = np.fmin.reduceat(total, begin)
        least[~(least < np.inf)] = np.nan  # nothing equals that: the first point remains
        hits = np.flatnonzero(total == np.repeat(least, np.diff(begin, append=len(group))))[::-1]
        nearest: I32Array = self.grid.nearby[first]
        nearest[group[hits]] = points[hits]
        return nearest

    def _worth(self, costs: F32Array, place: Places, group: Places, counts: I32Array) -> Places:
        """Which points are worth the sum that decides, by sums in another order.

        These add two halves, and the sums of all possible halves are known.
        """
        half = self.grid.dims // 2
        rough = _sums_of("rough", costs[:half], self.halves[0], place, group)
        rough += _sums_of("other", costs[half:], self.halves[1], place, group)
        least = np.fmin.reduceat(rough, np.cumsum(counts) - counts) * _MARGIN
        bound = least.take(group, out=scratch("bound", rough.shape), mode="clip")
        return np.flatnonzero(rough <= bound)

    def _costs(self, which: NDArray[np.intp], scale: F32Array) -> F32Array:
        """What each level of each element costs, `(dims, levels, groups)`."""
        x, root = self.by_element[:, which], self.roots[:, which]
        costs = np.empty((len(x), self.grid.levels, len(which)), np.float32)
        for level in range(self.grid.levels):
            difference = scale * np.float32(2 * level + 1) - x
            np.multiply(root, difference, out=costs[:, level])
            costs[:, level] *= difference
        return costs

    def sums(self, numbers: I32Array) -> tuple[F32Array, F32Array]:
        """Of weight * x * q and of weight * q**2."""
        q = scratch("levels", self.x.shape)
        digits = q.reshape(self.count, self.grid.dims, -1)
        for i, levels in enumerate(self.points):
            digits[:, i] = 2 * levels[numbers] + 1
        product = np.multiply(self.weighted, q, out=scratch("product", self.x.shape))
        sum_qx = ordered_sum(product)
        np.multiply(self.weights, q, out=product)
        sum_q2 = ordered_sum(np.multiply(product, q, out=product))
        return sum_qx, sum_q2


def _runs(name: str, first: I32Array, counts: I32Array, step: int) -> Places:
    """Runs of `counts` numbers that begin with `first` and go on in steps, one after the other."""
    starts = np.cumsum(counts)
    runs: Places = scratch(name, (starts[-1],), np.intp)
    runs.fill(step)
    runs[0] = first[0]
    runs[starts[:-1]] = first[1:] - first[:-1] - step * (counts[:-1] - 1)
    return np.add.accumulate(runs, out=runs)


def _sums_of(name: str, costs: F32Array, codes: I32Array, place: Places, group: Places) -> F32Array:
    """Costs of half of the weights of nearby points, by way of those of all possible halves."""
    sums = costs[0]
    for cost in costs[1:]:
        sums = (cost[:, None] + sums).reshape(-1, sums.shape[1])
    index = scratch("index", place.shape, np.intp)
    code = codes.take(place, out=scratch("code", place.shape, np.int32), mode="clip")
    np.multiply(code, sums.shape[1], out=index)
    np.add(index, group, out=index)
    found: F32Array = sums.reshape(-1).take(index, out=scratch(name, place.shape), mode="clip")
    return found


@cache
def _halves(name: str) -> tuple[I32Array, I32Array]:
    """What the first and the last half of the weights of nearby points are, as numbers."""
    found = grid(name)
    half = found.dims // 2
    digits = found.points.reshape(-1, 2, half) * found.levels ** np.arange(half)
    codes = digits.sum(axis=2, dtype=np.int32)[found.nearby]
    return np.ascontiguousarray(codes[:, 0]), np.ascontiguousarray(codes[:, 1])
