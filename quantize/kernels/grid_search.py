"""The search of IQ2 and IQ3: a scale for each sub-block, and a point of a grid for each group.

Every candidate scale rounds the weights to a cell of the lattice. A cell off the grid gives way to
the one among its nearby points that costs least, `sum(root * (scale * q - x)**2)` with the odd
numbers q = 2 * level + 1; the scale that fits the chosen points then competes with the best so far.
Source: ggml's quantize_row_iq2_xs_impl, iq2_find_best_neighbour and their siblings.

Sub-blocks lie in columns, `(elements, B)`, and so do the numbers of their points, `(groups, B)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.grids import Grid, grid
from quantize.kernels.refinement import fit_positive
from quantize.kernels.rounding import ordered_sum, round_in_place
from quantize.kernels.workspace import scratch

F32Array = NDArray[np.float32]
I32Array = NDArray[np.int32]
U8Array = NDArray[np.uint8]
Bools = NDArray[np.bool_]
Positive = Callable[[F32Array, int, F32Array], tuple[F32Array, U8Array]]


class Again(Enum):
    """Which groups look for their points once more, with the scale that the candidates led to."""

    MISSING = 0  # those whose cell was off the grid
    SUB_BLOCKS = 1  # all of a sub-block in which one was
    ALL = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """How a type searches.

    The largest weight, or what stands for it, is scaled to each of `reaches` in turn. Sub-blocks
    whose largest is below `nothing` are left out. With `first_levels`, positive levels up to that
    number are fitted first, and three times their scale stands for the largest weight.
    """

    grid: str
    reaches: F32Array
    again: Again
    nothing: float
    first_levels: int = 0

    @property
    def top(self) -> np.float32:
        """What the highest level stands for, in units of the scale."""
        return np.float32(2 * grid(self.grid).levels - 1)


def reaches(top: int, step: float, tries: int) -> F32Array:
    """`top` and `tries` steps to either side of it, rounded as ggml rounds them."""
    steps = np.arange(-tries, tries + 1, dtype=np.float32) * np.float32(step)
    return np.float32(top) + steps


@dataclass(frozen=True, slots=True)
class Start:
    """Where the search of sub-blocks begins, `(B,)` each.

    `largest` is what `Rule.reaches` are divided by; `scale` holds if no candidate fits; `empty`
    are the sub-blocks that are left out.
    """

    largest: F32Array
    scale: F32Array
    empty: Bools

    def ended(self, scale: F32Array, numbers: I32Array) -> tuple[F32Array, I32Array]:
        """What was found, without the sub-blocks that are left out."""
        scale[self.empty], numbers[:, self.empty] = 0, -1
        return scale, numbers


def start(x: F32Array, weights: F32Array, rule: Rule, positive: Positive = fit_positive) -> Start:
    """`positive` may be a twin of that function."""
    largest = np.maximum.reduce(x, axis=0)
    empty = largest < np.float32(rule.nothing)
    scale = largest / rule.top
    if rule.first_levels:
        scale, _ = positive(x, rule.first_levels, weights)
        largest = scale * np.float32(3)
        empty |= largest <= 0
    largest[empty] = 1
    return Start(largest, scale, empty)


def search(x: F32Array, weights: F32Array, rule: Rule) -> tuple[F32Array, I32Array]:
    """The best scale `(B,)` and points of sub-blocks whose signs are taken off.

    A sub-block that is left out has scale 0 and points -1. Where sums overflow float32, ggml ends
    the process, and here the scale is NaN or the points mean nothing.
    """
    begin = start(x, weights, rule)
    groups = _Groups(grid(rule.grid), x, weights)
    return begin.ended(*_search(groups, begin.largest, begin.scale, rule))


def _search(
    groups: _Groups, largest: F32Array, scale: F32Array, rule: Rule
) -> tuple[F32Array, I32Array]:
    """`scale` holds where no candidate fits."""
    best = np.zeros_like(scale)
    numbers = np.zeros((groups.count, len(scale)), np.int32)
    found = np.full(numbers.shape, rule.again is Again.MISSING)
    for reach in rule.reaches:
        inverse = reach / largest
        near, on_grid = groups.points_at(inverse, np.float32(1) / inverse)
        sum_qx, sum_q2 = groups.sums(near)
        taken = np.flatnonzero((sum_q2 > 0) & (sum_qx * sum_qx > best * sum_q2))
        scale[taken] = sum_qx[taken] / sum_q2[taken]
        best[taken] = scale[taken] * sum_qx[taken]
        numbers[:, taken], found[:, taken] = near[:, taken], on_grid[:, taken]

    if rule.again is Again.ALL:
        found[...] = False
    columns = np.flatnonzero(~found.all(axis=0) & (scale > 0))
    kept = found[:, columns] & (rule.again is Again.MISSING)
    some = _Groups(groups.grid, groups.x[:, columns], groups.weights[:, columns])
    near, _ = some.points_at(np.float32(1) / scale[columns], scale[columns])
    near = np.where(kept, numbers[:, columns], near)
    sum_qx, sum_q2 = some.sums(near)
    numbers[:, columns] = near
    fits = sum_q2 > 0
    scale[columns[fits]] = sum_qx[fits] / sum_q2[fits]
    return scale, numbers


class _Groups:
    """Sub-blocks as groups of weights that are rounded to points together."""

    def __init__(self, grid: Grid, x: F32Array, weights: F32Array) -> None:
        self.grid, self.x, self.weights = grid, x, weights
        self.weighted = weights * x
        self.count = len(x) // grid.dims
        self.points = np.ascontiguousarray(grid.points.T, np.intp)
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
        counts = self.grid.count[cells].astype(np.intp)
        starts = np.cumsum(counts) - counts
        near = np.arange(counts.sum()) + np.repeat(self.grid.start[cells] - starts, counts)
        points: I32Array = self.grid.nearby[near]
        first_cost = np.repeat(np.arange(len(which)) * self.grid.levels, counts)
        total = np.zeros(len(points), np.float32)
        for levels, x, root in zip(self.points, self.by_element, self.roots, strict=True):
            costs = self._costs(x[which], root[which], scale)
            total += costs.take(levels[points] + first_cost)
        least = np.fmin.reduceat(total, starts)
        least[~(least < np.inf)] = np.nan  # nothing equals that: the first point remains
        hits = np.flatnonzero(total == np.repeat(least, counts))[::-1]
        chosen = starts
        chosen[first_cost[hits] // self.grid.levels] = hits
        best: I32Array = points[chosen]
        return best

    def _costs(self, x: F32Array, root: F32Array, scale: F32Array) -> F32Array:
        """What each level of one element costs, `(groups, levels)`."""
        costs = np.empty((len(x), self.grid.levels), np.float32)
        for level in range(self.grid.levels):
            difference = scale * np.float32(2 * level + 1) - x
            costs[:, level] = root * difference * difference
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
