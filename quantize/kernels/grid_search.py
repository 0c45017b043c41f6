"""The search of IQ2 and IQ3: a scale for each sub-block, and a point of a grid for each group.

Every candidate scale leads to points; the scale that fits these best competes with the best so far.
Source: ggml's quantize_row_iq2_xs_impl and its siblings.

Sub-blocks lie in columns, `(elements, B)`, and so do the numbers of their points, `(groups, B)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.grid_points import Groups
from quantize.kernels.grids import grid
from quantize.kernels.refinement import fit_positive

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
class GridSearch:
    """How a type searches.

    The largest weight, or what replaces it, is scaled to each of `trial_maxima` in turn.
    Sub-blocks whose largest is below `epsilon` are left out. With `first_levels`, positive levels
    up to that number are fitted first, and three times their scale replaces the largest weight.
    """

    grid: str
    trial_maxima: F32Array
    again: Again
    epsilon: float
    first_levels: int = 0

    @property
    def top(self) -> np.float32:
        """What the highest level stands for, in units of the scale."""
        return np.float32(2 * grid(self.grid).levels - 1)


def trial_maxima(top: int, step: float, tries: int) -> F32Array:
    """`top` and `tries` steps to either side of it, rounded as ggml rounds them."""
    steps = np.arange(-tries, tries + 1, dtype=np.float32) * np.float32(step)
    return np.float32(top) + steps


@dataclass(frozen=True, slots=True)
class Start:
    """Where the search of sub-blocks begins, `(B,)` each.

    `largest` is what the trial maxima are divided by; `scale` holds if no candidate fits; `empty`
    are the sub-blocks that are left out.
    """

    largest: F32Array
    scale: F32Array
    empty: Bools

    def ended(self, scale: F32Array, numbers: I32Array) -> tuple[F32Array, I32Array]:
        """What was found, without the sub-blocks that are left out."""
        scale[self.empty], numbers[:, self.empty] = 0, -1
        return scale, numbers


def start(
    x: F32Array, weights: F32Array, rule: GridSearch, positive: Positive = fit_positive
) -> Start:
    """`positive` may be a twin of that function."""
    largest = np.maximum.reduce(x, axis=0)
    empty = largest < np.float32(rule.epsilon)
    scale = largest / rule.top
    if rule.first_levels:
        scale, _ = positive(x, rule.first_levels, weights)
        largest = scale * np.float32(3)
        empty |= largest <= 0
    largest[empty] = 1
    return Start(largest, scale, empty)


def search(x: F32Array, weights: F32Array, rule: GridSearch) -> tuple[F32Array, I32Array]:
    """The best scale `(B,)` and points of sub-blocks whose signs are taken off.

    A sub-block that is left out has scale 0 and points -1. Where sums overflow float32, ggml ends
    the process, and here the scale is NaN or the points mean nothing.
    """
    begin = start(x, weights, rule)
    groups = Groups(rule.grid, x, weights)
    return begin.ended(*_search(groups, begin.largest, begin.scale, rule))


def _search(
    groups: Groups, largest: F32Array, scale: F32Array, rule: GridSearch
) -> tuple[F32Array, I32Array]:
    """`scale` holds where no candidate fits."""
    best = np.zeros_like(scale)
    numbers = np.zeros((groups.count, len(scale)), np.int32)
    found = np.full(numbers.shape, rule.again is Again.MISSING)
    for trial in rule.trial_maxima:
        inverse = trial / largest
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
    some = Groups(groups.name, groups.x[:, columns], groups.weights[:, columns])
    near, _ = some.points_at(np.float32(1) / scale[columns], scale[columns])
    near = np.where(kept, numbers[:, columns], near)
    sum_qx, sum_q2 = some.sums(near)
    numbers[:, columns] = near
    fits = sum_q2 > 0
    scale[columns[fits]] = sum_qx[fits] / sum_q2[fits]
    return scale, numbers
