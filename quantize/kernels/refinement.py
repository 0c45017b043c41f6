"""Scales by coordinate descent: one level after another moves to where the others want it.

A level moves if that raises the share of the weighted energy that the levels explain,
`sum_lx**2 / sum_l2`. Q3_K finds its levels this way, and the K types with an importance matrix
find the levels of their scales. Source: ggml's make_q3_quants and make_qp_quants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.rounding import nearest_int, ordered_sum, round_in_place
from quantize.kernels.symmetric import NOTHING, largest, signed_levels
from quantize.kernels.workspace import scratch

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]

_ROUNDS = 5
_TENTHS = np.array([0, *(i for i in range(-4, 5) if i != 0)], np.float32) * np.float32(0.1)


@dataclass(frozen=True, slots=True)
class _Levels:
    """Where a level may move.

    `in_bytes` there is no lowest one: noise below zero wraps around. And a level moves only where
    the others have energy left.
    """

    low: int
    high: int
    in_bytes: bool = False


def fit_refined(x: F32Array, nmax: int) -> tuple[F32Array, U8Array]:
    """Signed scale `(B,)` and levels `(elements, B)` from 0 to 2 * nmax - 1, with weights x**2.

    A block of zeros has scale 0 and levels 0.
    """
    top = largest(x)
    zero = np.abs(top) < NOTHING
    top[zero] = 1
    weights = x * x
    levels = signed_levels(x, np.float32(-nmax) / top, nmax, np.empty_like(x))
    scale = _descend(x, weights, levels, _Levels(-nmax, nmax - 1))
    np.add(levels, nmax, out=levels)
    scale[zero] = 0
    levels[:, zero] = 0
    return scale, levels.astype(np.uint8)


def fit_positive(x: F32Array, nmax: int, weights: F32Array) -> tuple[F32Array, U8Array]:
    """Scale `(B,)` and levels `(elements, B)` from 0 to nmax, for values of zero and above."""
    top = np.maximum.reduce(x, axis=0)
    zero = ~(top >= NOTHING)
    top[zero] = 1
    first, *others = positive_trial_maxima(nmax)
    inverse = first / top
    levels = nearest_int(inverse * x).astype(np.uint8).astype(np.float32)
    best = _error(x, weights, levels, np.float32(1) / inverse)
    for trial in others:
        candidate = trial / top
        levels = np.minimum(nearest_int(candidate * x), nmax).astype(np.float32)
        error = _error(x, weights, levels, np.float32(1) / candidate)
        taken = error < best
        best[taken] = error[taken]
        inverse[taken] = candidate[taken]
    levels = np.minimum(nearest_int(inverse * x), nmax).astype(np.float32)
    scale = _descend(x, weights, levels, _Levels(-(2**31), nmax, in_bytes=True))
    scale[zero] = 0
    levels[:, zero] = 0
    return scale, levels.astype(np.uint8)


def positive_trial_maxima(nmax: int) -> F32Array:
    """What the largest value is scaled to: first nmax, then the candidates around it."""
    return _TENTHS + np.float32(nmax)


def _error(x: F32Array, weights: F32Array, levels: F32Array, scale: F32Array) -> F32Array:
    difference = x - scale * levels
    return ordered_sum(weights * difference * difference)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Blocks in columns, `(elements, B)`, and sums over their elements, `(B,)`."""

    x: F32Array
    weights: F32Array
    weighted: F32Array
    levels: F32Array
    sum_lx: F32Array
    sum_l2: F32Array

    def take(self, some: NDArray[np.bool_]) -> _Blocks:
        parts = self.x, self.weights, self.weighted, self.levels, self.sum_lx, self.sum_l2
        return _Blocks(*(part[..., some] for part in parts))


def _descend(x: F32Array, weights: F32Array, levels: F32Array, rule: _Levels) -> F32Array:
    """Move `levels` in place and return the scale that fits them."""
    weighted = weights * x
    sum_lx = ordered_sum(weighted * levels)
    sum_l2 = ordered_sum(weights * levels * levels)
    if rule.in_bytes:
        levels[...] = _bytes(levels)
    columns = np.arange(x.shape[1])
    blocks = _Blocks(x, weights, weighted, levels, sum_lx, sum_l2)
    for _ in range(_ROUNDS):
        # A block in which no level moved would only repeat itself.
        moved = _one_round(blocks, rule)
        columns, blocks = columns[moved], blocks.take(moved)
        levels[:, columns] = blocks.levels
        sum_lx[columns], sum_l2[columns] = blocks.sum_lx, blocks.sum_l2
    scale = np.zeros_like(sum_lx)
    return np.divide(sum_lx, sum_l2, out=scale, where=sum_l2 > 0)


def _one_round(blocks: _Blocks, rule: _Levels) -> NDArray[np.bool_]:
    """Try each element once, in place; says in which blocks a level moved."""
    sum_lx, sum_l2 = blocks.sum_lx, blocks.sum_l2
    moved = np.zeros(sum_lx.shape, np.bool_)
    rest_lx, rest_l2, wanted = scratch("rest", (3, *sum_lx.shape))
    rows = zip(blocks.x, blocks.weights, blocks.weighted, blocks.levels, strict=True)
    for value, weight, product, level in rows:
        np.subtract(sum_lx, np.multiply(product, level, out=rest_lx), out=rest_lx)
        np.multiply(np.multiply(weight, level, out=rest_l2), level, out=rest_l2)
        np.subtract(sum_l2, rest_l2, out=rest_l2)
        np.divide(np.multiply(value, rest_l2, out=wanted), rest_lx, out=wanted)
        round_in_place(wanted)
        np.clip(wanted, rule.low, rule.high, out=wanted)
        free = (rest_lx > 0) & (wanted != level)
        if rule.in_bytes:
            free &= rest_l2 > 0
        few = np.flatnonzero(free)
        new, old_lx = wanted[few], sum_lx[few]
        new_lx = rest_lx[few] + product[few] * new
        new_l2 = rest_l2[few] + weight[few] * new * new
        better = new_lx * new_lx * sum_l2[few] > old_lx * old_lx * new_l2
        better &= new_l2 > 0
        taken = few[better]
        level[taken] = _bytes(new[better]) if rule.in_bytes else new[better]
        sum_lx[taken], sum_l2[taken] = new_lx[better], new_l2[better]
        moved[taken] = True
    return moved


def _bytes(levels: F32Array) -> F32Array:
    return levels.astype(np.int32).astype(np.uint8).astype(np.float32)
