"""Levels -1, 0 and 1, all moved up or down by an eighth: IQ1_S and IQ1_M.

Two boundaries split the sorted weights of a block among the levels, and all splits are tried. Then
every eight levels move to a point of a grid. Source: ggml's quantize_row_iq1_s_impl and
quantize_row_iq1_m_impl.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.grids import grid
from quantize.kernels.importance import Importance, energy_of, importance_weights
from quantize.kernels.packing import split_subblocks
from quantize.kernels.rounding import nearest_int, ordered_sum
from quantize.kernels.splits import Candidates, I32Array, Order, best_split

F32Array = NDArray[np.float32]

SHIFT = np.float32(0.125)
GROUP = 8
GRID = "IQ1_S"

_PLACES = 3 ** np.arange(GROUP, dtype=np.int32)[:, None]
_GROUPS_AT_ONCE = 1 << 11  # bounds the memory: a group can have two hundred points nearby


@dataclass(frozen=True, slots=True)
class ShiftSearch:
    """How a type searches.

    A block whose magnitudes are below `epsilon` has scale 0. `shifts`, `(kinds, groups)`, are tried
    with each split; `candidates(order, x, weights)` goes through them, the weights sorted by
    `order`.
    """

    epsilon: np.float32
    shifts: F32Array
    candidates: Callable[[Order, F32Array, F32Array], Candidates]


@dataclass(frozen=True, slots=True)
class ShiftedFit:
    """Scales of blocks, `(B,)`; the shift of each group and the number of its point, `(groups, B)`.

    A block that is left out has scale 0, shift up, and point 0.
    """

    scale: F32Array
    shift: F32Array
    number: I32Array


# `fit_shifted` or a twin of it.
Fit = Callable[[F32Array, F32Array, ShiftSearch], ShiftedFit]


def fit_shifted(x: F32Array, weights: F32Array, rule: ShiftSearch) -> ShiftedFit:
    """Fit blocks in columns, `(size, B)`."""
    size, blocks = x.shape
    order = np.argsort(x, axis=0, kind="stable")  # as the merge sort of glibc's qsort
    split = best_split(rule.candidates(order, x, weights), size, len(rule.shifts), blocks)
    levels, scale = split.levels(order), np.abs(split.scale)
    shift = rule.shifts[split.kind].T
    shift = np.where(split.scale < 0, -shift, shift)

    each = np.tile(scale, len(shift))
    number, moved = _numbers(_groups(x), _groups(weights), each, shift.reshape(-1), _groups(levels))
    number, moved = number.reshape(shift.shape), moved.reshape(shift.shape)
    again = np.flatnonzero(moved.any(axis=0))
    values = shifted_levels(number[:, again], shift[:, again])
    scale[again] = _fitted(x[:, again], weights[:, again], values.reshape(size, -1), scale[again])

    left_out = ~split.found | (np.maximum.reduce(np.abs(x), axis=0) < rule.epsilon)
    scale[left_out], shift[:, left_out], number[:, left_out] = 0, SHIFT, 0
    return ShiftedFit(scale, shift, number)


def shifted_levels(number: I32Array, shift: F32Array) -> F32Array:
    """What the levels of points stand for: `(groups, ...)` to `(groups, 8, ...)`."""
    levels: F32Array = grid(GRID).points[number].astype(np.float32)
    return np.moveaxis(levels - np.float32(1) + shift[..., None], -1, 1)


def _groups(values: NDArray[Any]) -> NDArray[Any]:
    """Blocks in columns `(elements, B)` as groups in columns `(8, elements / 8 * B)`."""
    return values.reshape(-1, GROUP, values.shape[1]).swapaxes(0, 1).reshape(GROUP, -1)


def _numbers(
    x: F32Array, weights: F32Array, scale: F32Array, shift: F32Array, levels: I32Array
) -> tuple[I32Array, NDArray[np.bool_]]:
    """Numbers of points for groups in columns, and which of them had to move.

    Levels that are not points move to the one nearby that is nearest to the weights.
    """
    points = grid(GRID)
    cell = np.add.reduce(levels * _PLACES, axis=0)
    number = points.number[cell]
    missing = number < 0
    for part in np.array_split(np.flatnonzero(missing), len(cell) // _GROUPS_AT_ONCE + 1):
        if part.size:
            errors = _errors(x[:, part], weights[:, part], scale[part], shift[part])
            number[part] = _nearest(errors, points.start[cell[part]], points.count[cell[part]])
    return number, missing


def _errors(x: F32Array, weights: F32Array, scale: F32Array, shift: F32Array) -> F32Array:
    """What each level of each weight would cost: `(8, n, 3)`."""
    levels = np.arange(-1, 2, dtype=np.float32) + shift[:, None]
    difference = scale[:, None] * levels - x[:, :, None]
    return weights[:, :, None] * difference * difference


def _nearest(errors: F32Array, start: I32Array, count: I32Array) -> I32Array:
    """The first point of least error among the `count` ones from `start` of those nearby."""
    points, groups = grid(GRID), np.arange(len(count))
    begin = np.cumsum(count) - count
    group = np.repeat(groups, count)
    nearby = points.nearby[np.arange(len(group)) + np.repeat(start - begin, count)]
    total = np.zeros(len(nearby), np.float32)
    for errors_of_one, levels in zip(errors.reshape(GROUP, -1), points.points.T, strict=True):
        total += errors_of_one[levels[nearby] + 3 * group]
    total[np.isnan(total)] = np.inf
    least = np.flatnonzero(total == np.minimum.reduceat(total, begin)[group])
    found: I32Array = nearby[least[np.searchsorted(group[least], groups)]]
    return found


def _fitted(x: F32Array, weights: F32Array, levels: F32Array, scale: F32Array) -> F32Array:
    """The scale that fits levels best, or the old one where ggml keeps it."""
    product = weights * levels
    sum_qx = ordered_sum(product * x)
    sum_q2 = ordered_sum(product * levels)
    return np.where((sum_qx > 0) & (sum_q2 > 0), sum_qx / sum_q2, scale)


def weights_of(x: F32Array, importance: Importance | None) -> F32Array:
    """Weights of sub-blocks in columns, with or without an importance matrix."""
    if importance is None:
        return x * x
    blocks = len(importance.columns)
    energy = np.tile(2 * energy_of(x, blocks), x.shape[1] // blocks)
    columns = split_subblocks(importance.columns, len(x), "importance")
    return importance_weights(x, columns, energy)


def shared_scale(scales: F32Array) -> tuple[F32Array, I32Array]:
    """The unit of scales `(subs, S)`, `(S,)`, and their levels: odd numbers, 0 to 7 by halves."""
    top = np.maximum.reduce(scales, axis=0)
    d = top / np.float32(15)
    levels = nearest_int(np.float32(0.5) * (np.float32(1) / d * scales - np.float32(1)))
    levels = np.clip(levels, 0, 7)
    levels[:, top == 0] = 0
    return d, levels
