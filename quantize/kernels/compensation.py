"""Codes that make up for each other's errors, under a metric H that says what errors cost.

The error of a row w that is stored as q costs (w - q) H (w - q)^T. `factor` prepares H,
`compensate` chooses codes column by column and lets later columns take over what earlier ones
lost (GPTQ; Frantar et al., arXiv 2210.17323), and `descend` then moves single codes and scales
while that lowers the cost.

Every value of a grid is scale * values[code] - offset, with one scale and one offset for each
`sub` columns. Arrays are float32 in rows `(n, cols)`; scales and offsets are `(n, cols / sub)`.
Rows know nothing of each other, and every sum has one order, from the first column to the last,
so that a row's bytes do not depend on the rows around it. The factor is made in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32Array = NDArray[np.float32]
F64Array = NDArray[np.float64]
U8Array = NDArray[np.uint8]
I32Array = NDArray[np.int32]

_LARGEST_HALF = np.float32(65504)


@dataclass(slots=True)
class Coded:
    """Rows as codes and scales: `codes` `(n, cols)`, all else `(n, cols / sub)`.

    A scale is `d * levels`, an offset `dmin * mins`.
    """

    codes: U8Array
    levels: I32Array
    mins: I32Array
    d: F32Array
    dmin: F32Array

    def scales(self) -> F32Array:
        return self.d * self.levels.astype(np.float32)

    def offsets(self) -> F32Array:
        return self.dmin * self.mins.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Moves:
    """What descent may change of the scales of a grid.

    `levels` and `mins` are the least and the most of whole numbers; None: there are none, and the
    float16 in their place moves. `scales` and `offsets`: whether they move at all.
    """

    levels: tuple[int, int] | None = None
    mins: tuple[int, int] | None = None
    scales: bool = True
    offsets: bool = False


def factor(metric: F32Array, damping: float) -> tuple[F32Array, F32Array]:
    """The damped H and the upper triangular U with H^-1 = U^T U, both float32 `(cols, cols)`.

    `damping` times the mean of H's diagonal is added to the diagonal; columns that nothing reads
    count as one such mean. Raises ValueError for an H that is not positive definite then.
    """
    damped, backwards = damped_backwards(metric, damping)
    lower = cholesky(backwards)
    upper = inverse_of_lower(lower)[::-1, ::-1]
    return damped, np.ascontiguousarray(upper, np.float32)


def damped_backwards(metric: F32Array, damping: float) -> tuple[F32Array, F64Array]:
    """H damped, float32, and the same with rows and columns in reverse order, float64."""
    damped = metric.astype(np.float64)
    diagonal = np.diagonal(damped).copy()
    # One order of the sum, whatever NumPy does with long ones.
    mean = float(np.cumsum(diagonal)[-1]) / len(diagonal)
    if not mean > 0:
        damped, diagonal, mean = np.eye(len(diagonal)), np.ones(len(diagonal)), 1.0
    diagonal[diagonal <= 0] = mean
    np.fill_diagonal(damped, diagonal + damping * mean)
    rounded = damped.astype(np.float32)
    return rounded, np.ascontiguousarray(rounded[::-1, ::-1], np.float64)


def cholesky(matrix: F64Array) -> F64Array:
    """The lower L with L L^T = matrix, column after column."""
    lower = matrix.copy()
    for k in range(len(lower)):
        if not lower[k, k] > 0:
            raise ValueError(f"not positive definite at column {k}")
        lower[k:, k] /= np.sqrt(lower[k, k])
        column = lower[k + 1 :, k]
        lower[k + 1 :, k + 1 :] -= column[:, None] * column
    return np.tril(lower)


def inverse_of_lower(lower: F64Array) -> F64Array:
    """The inverse of a lower triangular matrix, row after row."""
    inverse = np.eye(len(lower))
    for k in range(len(lower)):
        inverse[k, : k + 1] /= lower[k, k]
        inverse[k + 1 :, : k + 1] -= lower[k + 1 :, k, None] * inverse[k, : k + 1]
    return inverse


def nearest(
    x: F32Array, scale: F32Array, offset: F32Array, values: F32Array, *, even: bool
) -> U8Array:
    """Codes of the values nearest to `x`; `even`: the values are a step of 1 apart."""
    usable = scale != 0
    target = (x + offset) / np.where(usable, scale, np.float32(1))
    if even:
        codes = np.clip(np.rint(target - values[0]), 0, len(values) - 1)
    else:
        codes = np.searchsorted((values[:-1] + values[1:]) / np.float32(2), target)
    return np.where(usable, codes, 0).astype(np.uint8)


def compensate(
    rows: F32Array,
    lo: int,
    coded: Coded,
    factor: F32Array,
    sub: int,
    values: F32Array,
    *,
    even: bool,
) -> None:
    """Choose the codes of the columns from `lo` on that `coded` has, its scales given.

    `rows` is changed: columns after each one take over its error. `codes` is filled.
    """
    scales, offsets = coded.scales(), coded.offsets()
    for place in range(coded.codes.shape[1]):
        column = lo + place
        scale, offset = scales[:, place // sub], offsets[:, place // sub]
        x = rows[:, column]
        codes = nearest(x, scale, offset, values, even=even)
        coded.codes[:, place] = codes
        error = (x - (scale * values[codes] - offset)) / factor[column, column]
        rows[:, column + 1 :] -= error[:, None] * factor[column, column + 1 :]


def descend(
    rows: F32Array,
    coded: Coded,
    metric: F32Array,
    sub: int,
    values: F32Array,
    moves: Moves,
    sweeps: int,
    *,
    even: bool,
) -> None:
    """Move codes, then levels and mins, where that lowers the cost; `sweeps` times at the most."""
    descent = _Descent(rows, coded, metric, sub, values)
    for _ in range(sweeps):
        for column in range(rows.shape[1]):
            descent.move_code(column, even=even)
        for place in range(rows.shape[1] // sub):
            if moves.scales:
                descent.move_scale(place, moves.levels)
            if moves.offsets:
                descent.move_offset(place, moves.mins)


class _Descent:
    """Rows as they are stored now, and the slope of their cost: (rows - stored) H."""

    def __init__(
        self, rows: F32Array, coded: Coded, metric: F32Array, sub: int, values: F32Array
    ) -> None:
        self.coded, self.metric, self.sub, self.values = coded, metric, sub, values
        self.scales, self.offsets = coded.scales(), coded.offsets()
        levels = values[coded.codes.reshape(len(rows), -1, sub)]
        restored = self.scales[:, :, None] * levels - self.offsets[:, :, None]
        self.stored: F32Array = restored.reshape(rows.shape)
        self.slopes = np.zeros_like(rows)
        error = rows - self.stored
        for column, line in enumerate(metric):
            self.slopes += error[:, column, None] * line

    def move_code(self, column: int, *, even: bool) -> None:
        scale, offset = self.scales[:, column // self.sub], self.offsets[:, column // self.sub]
        curvature, slope = self.metric[column, column], self.slopes[:, column].copy()
        stored = self.stored[:, column]
        codes = nearest(stored + slope / curvature, scale, offset, self.values, even=even)
        moved = scale * self.values[codes] - offset
        step = moved - stored
        better = (scale != 0) & _lowers(step, slope, curvature)
        step[~better] = 0
        self.coded.codes[better, column] = codes[better]
        stored[better] = moved[better]
        self.slopes -= step[:, None] * self.metric[column]

    def move_scale(self, place: int, limits: tuple[int, int] | None) -> None:
        unit = self.coded.d[:, place]
        factor = np.ones_like(unit) if limits is None else unit
        along = factor[:, None] * self._values_at(place)
        self._step(place, along, unit, self.coded.levels[:, place], limits)

    def move_offset(self, place: int, limits: tuple[int, int] | None) -> None:
        unit = self.coded.dmin[:, place]
        factor = np.ones_like(unit) if limits is None else unit
        along = np.repeat(-factor[:, None], self.sub, axis=1)
        self._step(place, along, unit, self.coded.mins[:, place], limits)

    def _values_at(self, place: int) -> F32Array:
        return self.values[self.coded.codes[:, place * self.sub : (place + 1) * self.sub]]

    def _step(
        self,
        place: int,
        along: F32Array,
        unit: F32Array,
        numbers: I32Array,
        limits: tuple[int, int] | None,
    ) -> None:
        """Move `numbers`, or `unit` without limits, by what lowers the cost most."""
        part = slice(place * self.sub, (place + 1) * self.sub)
        slope, curvature = _along(along, self.slopes[:, part], self.metric[part, part])
        usable = curvature > 0
        wanted = slope / np.where(usable, curvature, np.float32(1))
        if limits is None:
            after = (unit + wanted).astype(np.float16).astype(np.float32)
            usable &= np.abs(after) <= _LARGEST_HALF
            usable &= _lowers(after - unit, slope, curvature)
            unit[usable] = after[usable]
        else:
            before = numbers.astype(np.float32)
            after = np.clip(before + np.rint(wanted), np.float32(limits[0]), np.float32(limits[1]))
            usable &= _lowers(after - before, slope, curvature)
            numbers[usable] = after[usable].astype(np.int32)
        self._update(place, part)

    def _update(self, place: int, part: slice) -> None:
        coded = self.coded
        scale = coded.d[:, place] * coded.levels[:, place].astype(np.float32)
        offset = coded.dmin[:, place] * coded.mins[:, place].astype(np.float32)
        self.scales[:, place], self.offsets[:, place] = scale, offset
        moved = scale[:, None] * self._values_at(place) - offset[:, None]
        change = moved - self.stored[:, part]
        self.stored[:, part] = moved
        for column, step in enumerate(change.T, part.start):
            self.slopes -= step[:, None] * self.metric[column]


def _lowers(step: F32Array, slope: F32Array, curvature: F32Array) -> NDArray[np.bool_]:
    return step * step * curvature - np.float32(2) * step * slope < 0


def _along(along: F32Array, gradient: F32Array, metric: F32Array) -> tuple[F32Array, F32Array]:
    """Slope and curvature of the cost in the direction `along`, `(n,)` each."""
    slope = np.zeros(len(along), np.float32)
    curvature = np.zeros(len(along), np.float32)
    for i in range(along.shape[1]):
        slope += along[:, i] * gradient[:, i]
        inner = np.zeros(len(along), np.float32)
        for k in range(along.shape[1]):
            inner += metric[i, k] * along[:, k]
        curvature += along[:, i] * inner
    return slope, curvature
