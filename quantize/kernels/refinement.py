"""Scales by coordinate descent: one level after another moves to where the others want it.

A level moves if that raises the share of the weighted energy that the levels explain,
`sum_lx**2 / sum_l2`. Q3_K finds its levels this way, and the K types with an importance matrix
find the levels of their scales. Source: ggml's make_q3_quants and make_qp_quants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.rounding import nearest_int, ordered_sum
from quantize.kernels.symmetric import NOTHING, largest, signed_levels

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]

_ROUNDS = 5
_TENTHS = np.array([0, *(i for i in range(-4, 5) if i != 0)], np.float32) * np.float32(0.1)


@dataclass(frozen=True, slots=True)
class _Levels:
    """Where a level may move.

    `stored` is the integer type in which ggml keeps levels (a negative one wraps in uint8);
    `from_energy` moves a level only where the others have energy left.
    """

    low: int
    high: int
    stored: type[np.int8 | np.uint8]
    from_energy: bool


def fit_refined(x: F32Array, nmax: int) -> tuple[F32Array, U8Array]:
    """Signed scale `(B,)` and levels `(elements, B)` from 0 to 2 * nmax - 1, with weights x**2.

    A block of zeros has scale 0 and levels 0.
    """
    top = largest(x)
    zero = np.abs(top) < NOTHING
    top[zero] = 1
    weights = x * x
    levels = signed_levels(x, np.float32(-nmax) / top, nmax, np.empty_like(x))
    rule = _Levels(-nmax, nmax - 1, np.int8, from_energy=False)
    scale = _descend(x, weights, levels, rule)
    np.add(levels, nmax, out=levels)
    scale[zero] = 0
    levels[:, zero] = 0
    return scale, levels.astype(np.uint8)


def fit_positive(x: F32Array, nmax: int, weights: F32Array) -> tuple[F32Array, U8Array]:
    """Scale `(B,)` and levels `(elements, B)` from 0 to nmax, for values of zero and above."""
    top = np.maximum.reduce(x, axis=0)
    zero = ~(top >= NOTHING)
    top[zero] = 1
    first, *others = positive_reaches(nmax)
    inverse = first / top
    levels = nearest_int(inverse * x).astype(np.uint8).astype(np.float32)
    best = _error(x, weights, levels, np.float32(1) / inverse)
    for reach in others:
        candidate = reach / top
        levels = np.minimum(nearest_int(candidate * x), nmax).astype(np.float32)
        error = _error(x, weights, levels, np.float32(1) / candidate)
        taken = error < best
        best[taken] = error[taken]
        inverse[taken] = candidate[taken]
    levels = np.minimum(nearest_int(inverse * x), nmax).astype(np.float32)
    scale = _descend(x, weights, levels, _Levels(-(2**31), nmax, np.uint8, from_energy=True))
    scale[zero] = 0
    levels[:, zero] = 0
    return scale, levels.astype(np.uint8)


def positive_reaches(nmax: int) -> F32Array:
    """What the largest value is scaled to: first nmax, then the candidates around it."""
    return _TENTHS + np.float32(nmax)


def _error(x: F32Array, weights: F32Array, levels: F32Array, scale: F32Array) -> F32Array:
    difference = x - scale * levels
    return ordered_sum(weights * difference * difference)


def _descend(x: F32Array, weights: F32Array, levels: F32Array, rule: _Levels) -> F32Array:
    """Move `levels` in place and return the scale that fits them."""
    sum_lx = ordered_sum(weights * x * levels)
    sum_l2 = ordered_sum(weights * levels * levels)
    levels[...] = _kept(levels, rule)
    columns = np.arange(x.shape[1])
    for _ in range(_ROUNDS):
        # A block in which no level moved would only repeat itself.
        parts = x[:, columns], weights[:, columns], levels[:, columns]
        sums = sum_lx[columns], sum_l2[columns]
        moved = _one_round(*parts, *sums, rule)
        levels[:, columns] = parts[2]
        sum_lx[columns], sum_l2[columns] = sums
        columns = columns[moved]
    scale = np.zeros_like(sum_lx)
    return np.divide(sum_lx, sum_l2, out=scale, where=sum_l2 > 0)


def _one_round(
    x: F32Array,
    weights: F32Array,
    levels: F32Array,
    sum_lx: F32Array,
    sum_l2: F32Array,
    rule: _Levels,
) -> NDArray[np.bool_]:
    """Try each element once; says in which blocks a level moved."""
    moved = np.zeros(sum_lx.shape, np.bool_)
    for value, weight, level in zip(x, weights, levels, strict=True):
        rest_lx = sum_lx - weight * value * level
        rest_l2 = sum_l2 - weight * level * level
        wanted = nearest_int(np.divide(value * rest_l2, rest_lx))
        new = np.clip(wanted, rule.low, rule.high).astype(np.float32)
        free = (rest_lx > 0) & (new != level)
        if rule.from_energy:
            free &= rest_l2 > 0
        new_lx = rest_lx + weight * value * new
        new_l2 = rest_l2 + weight * new * new
        better = new_lx * new_lx * sum_l2 > sum_lx * sum_lx * new_l2
        taken = free & (new_l2 > 0) & better
        level[taken] = _kept(new[taken], rule)
        sum_lx[taken] = new_lx[taken]
        sum_l2[taken] = new_l2[taken]
        moved |= taken
    return moved


def _kept(levels: F32Array, rule: _Levels) -> F32Array:
    return levels.astype(np.int32).astype(rule.stored).astype(np.float32)
