"""Scales by coordinate descent, compiled: twin of `kernels.refinement`.

Blocks go side by side, one per lane. While one of them moves a level, all try another round, which
changes nothing for those that have settled.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import compiled, device
from quantize.kernels.compiled.lanes import load_columns
from quantize.kernels.compiled.rounding import at_least, nearest_level
from quantize.kernels.compiled.symmetric import largest_of
from quantize.kernels.compiled.vector import (
    LANES,
    Floats,
    choose,
    choose_int,
    equal,
    load,
    mask_bits,
    splat,
    splat_int,
    store,
    to_float,
    truncate,
)

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]

_MOST = 32  # elements in a block
_ROUNDS = 5
_LOWEST, _HIGHEST = -0x400000, 0x3FFFFF  # what kernels.rounding.nearest_int can give
_EPSILON = np.float32(1e-15)  # kernels.symmetric.NOTHING


@compiled
def fit_refined_columns(x: F32Array, nmax: int, scale: F32Array, levels: U8Array) -> None:
    """Fill scale, and levels in rows of the same length, for blocks in columns, `(elements, B)`.

    The rows are as long as whole vectors make them, and `levels` is flat.
    """
    size, blocks = x.shape
    side, weights = np.empty(_MOST * LANES, np.float32), np.empty(_MOST * LANES, np.float32)
    moving = np.empty(_MOST * LANES, np.float32)
    for b in range(0, blocks, LANES):
        load_columns(x, b, side)
        largest = largest_of(side, size)
        is_zero = abs(largest) < splat(_EPSILON)
        inverse = splat(-nmax) / choose(is_zero, splat(1.0), largest)
        for i in range(size):
            value = load(side, i * LANES)
            store(weights, i * LANES, value * value)
            level = nearest_level(value * inverse, -nmax, nmax - 1)
            store(moving, i * LANES, to_float(level))
        fitted = _descend(side, weights, moving, size, -nmax, nmax - 1)
        store(scale, b, choose(is_zero, splat(0.0), fitted))
        for i in range(size):
            level = truncate(load(moving, i * LANES)) + splat_int(nmax)
            store(levels, i * scale.size + b, choose_int(is_zero, splat_int(0), level))


@compiled
def fit_positive_columns(
    x: F32Array,
    weights: F32Array,
    nmax: int,
    trial_maxima: F32Array,
    scale: F32Array,
    levels: U8Array,
) -> None:
    """The same for values of zero and above; `trial_maxima` is what the largest is scaled to."""
    size, blocks = x.shape
    side, weight = np.empty(_MOST * LANES, np.float32), np.empty(_MOST * LANES, np.float32)
    moving = np.empty(_MOST * LANES, np.float32)
    for b in range(0, blocks, LANES):
        load_columns(x, b, side)
        load_columns(weights, b, weight)
        largest = load(side, 0)
        known = equal(largest, largest)
        for i in range(1, size):
            value = load(side, i * LANES)
            known = known & equal(value, value)
            largest = at_least(largest, value)
        is_zero = (largest < splat(_EPSILON)) | ~known
        largest = choose(is_zero, splat(1.0), largest)

        # The first candidate is rounded to bytes, where noise below zero wraps around.
        inverse = splat(trial_maxima[0]) / largest
        best = _error(side, weight, size, inverse, _HIGHEST, 255)
        for trial in trial_maxima[1:]:
            candidate = splat(trial) / largest
            error = _error(side, weight, size, candidate, nmax, -1)
            better = error < best
            best = choose(better, error, best)
            inverse = choose(better, candidate, inverse)
        for i in range(size):
            level = nearest_level(inverse * load(side, i * LANES), _LOWEST, nmax)
            store(moving, i * LANES, to_float(level))
        fitted = _descend(side, weight, moving, size, _LOWEST, nmax)
        store(scale, b, choose(is_zero, splat(0.0), fitted))
        for i in range(size):
            level = truncate(load(moving, i * LANES))
            store(levels, i * scale.size + b, choose_int(is_zero, splat_int(0), level))


@device
def _error(
    x: F32Array, weights: F32Array, size: int, inverse: Floats, high: int, bits: int
) -> Floats:
    """Of levels up to `high`, of which only some bits are kept."""
    scale, total = splat(1.0) / inverse, splat(0.0)
    for i in range(size):
        value = load(x, i * LANES)
        level = nearest_level(inverse * value, _LOWEST, high) & splat_int(bits)
        difference = value - scale * to_float(level)
        total = total + load(weights, i * LANES) * difference * difference
    return total


@device
def _descend(
    x: F32Array, weights: F32Array, levels: F32Array, size: int, low: int, high: int
) -> Floats:
    """Move levels in place; the scale that then fits. Without a lowest level they are bytes."""
    zero = splat(0.0)
    sum_lx, sum_l2 = zero, zero
    for i in range(size):
        level, weight = load(levels, i * LANES), load(weights, i * LANES)
        sum_lx = sum_lx + weight * load(x, i * LANES) * level
        sum_l2 = sum_l2 + weight * level * level
        store(levels, i * LANES, _kept(level, low))
    moved, rounds = 1, 0
    while moved != 0 and rounds < _ROUNDS:
        moved, rounds = 0, rounds + 1
        for i in range(size):
            value, weight = load(x, i * LANES), load(weights, i * LANES)
            level = load(levels, i * LANES)
            rest_lx = sum_lx - weight * value * level
            rest_l2 = sum_l2 - weight * level * level
            new = to_float(nearest_level(value * rest_l2 / rest_lx, low, high))
            new_lx = rest_lx + weight * value * new
            new_l2 = rest_l2 + weight * new * new
            taken = (rest_lx > zero) & ~equal(new, level) & (new_l2 > zero)
            if low == _LOWEST:
                taken = taken & (rest_l2 > zero)
            taken = taken & (new_lx * new_lx * sum_l2 > sum_lx * sum_lx * new_l2)
            store(levels, i * LANES, choose(taken, _kept(new, low), level))
            sum_lx = choose(taken, new_lx, sum_lx)
            sum_l2 = choose(taken, new_l2, sum_l2)
            moved |= mask_bits(taken)
    return choose(sum_l2 > zero, sum_lx / sum_l2, zero)


@device
def _kept(level: Floats, low: int) -> Floats:
    return to_float(truncate(level) & splat_int(255)) if low == _LOWEST else level
