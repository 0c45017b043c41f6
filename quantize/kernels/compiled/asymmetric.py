"""The search for a scale and a minimum, compiled: twin of `kernels.asymmetric`.

Blocks go side by side, one per lane.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import compiled, device
from quantize.kernels.compiled.lanes import load_columns
from quantize.kernels.compiled.rounding import at_least, at_most
from quantize.kernels.compiled.vector import (
    LANES,
    Floats,
    Mask,
    choose,
    equal,
    load,
    mask_bits,
    rint,
    splat,
    store,
)

F32Array = NDArray[np.float32]

# What `fit` finds, in rows that are as long as whole vectors make them.
SCALE, LOW, RANGE, LEVEL_LOW, HIGH, FLAT = range(6)
FOUND = 6

_MOST = 32  # elements in a block
_EXACT = 4e6  # kernels.rounding.EXACT

# Scale, minimum, the range and the minimum that levels were rounded with, the largest value; which
# blocks are flat, and which stayed within the range of plain rounding.
Found = tuple[Floats, Floats, Floats, Floats, Floats, Mask, Mask]


@compiled
def fit_columns(
    x: F32Array, weights: F32Array, nmax: int, ranges: F32Array, power: int, found: F32Array
) -> bool:
    """Fill `found` for blocks in columns of `x`, `(elements, B)`; `found` is flat.

    `power` is that of the error. The answer is False where a value left the range of plain
    rounding: then `found` is not to be used.
    """
    size, blocks = x.shape
    row = found.size // FOUND
    work = np.empty(3 * _MOST * LANES, np.float32)
    side, weight, levels = work[: _MOST * LANES], work[_MOST * LANES :], work[2 * _MOST * LANES :]
    plain = True
    for b in range(0, blocks, LANES):
        load_columns(x, b, side)
        load_columns(weights, b, weight)
        scale, low, trial, level_low, high, flat, exact = search(
            side, weight, levels, size, nmax, ranges, power
        )
        store(found, SCALE * row + b, scale)
        store(found, LOW * row + b, low)
        store(found, RANGE * row + b, trial)
        store(found, LEVEL_LOW * row + b, level_low)
        store(found, HIGH * row + b, high)
        store(found, FLAT * row + b, choose(flat, splat(1.0), splat(0.0)))
        plain &= mask_bits(~exact) == 0
    return plain


@device
def search(
    x: F32Array,
    weights: F32Array,
    levels: F32Array,
    size: int,
    nmax: int,
    ranges: F32Array,
    power: int,
) -> Found:
    """One vector of blocks; `levels` is scratch."""
    zero, one, top = splat(0.0), splat(1.0), splat(nmax)
    bottom, high, sum_w, sum_x = load(x, 0), load(x, 0), zero, zero
    for i in range(size):
        value, weight = load(x, i * LANES), load(weights, i * LANES)
        bottom, high = at_most(bottom, value), at_least(high, value)
        sum_w = sum_w + weight
        sum_x = sum_x + weight * value

    low = at_most(bottom, zero)
    flat = equal(high, low)
    inverse = top / choose(flat, one, high - low)
    level_low, level_reach, scale = low, top, one / inverse
    exact = (low - bottom) * inverse < splat(_EXACT)
    for i in range(size):
        store(levels, i * LANES, _level(load(x, i * LANES), low, inverse, top))
    best = _error(x, weights, levels, size, scale, low, power)

    for trial in ranges:
        inverse = splat(trial) / choose(flat, one, high - low)
        exact = exact & ((low - bottom) * inverse < splat(_EXACT))
        sum_l, sum_l2, sum_xl = zero, zero, zero
        for i in range(size):
            value = load(x, i * LANES)
            level = _level(value, low, inverse, top)
            store(levels, i * LANES, level)
            product = load(weights, i * LANES) * level
            sum_l = sum_l + product
            sum_l2 = sum_l2 + product * level
            sum_xl = sum_xl + product * value
        determinant = sum_w * sum_l2 - sum_l * sum_l
        new_low = (sum_l2 * sum_x - sum_l * sum_xl) / determinant
        alone = new_low > zero  # then the scale is fitted without a minimum
        share = choose(alone, sum_xl, sum_w * sum_xl - sum_x * sum_l)
        new_scale = share / choose(alone, sum_l2, determinant)
        new_low = at_most(new_low, zero)
        error = _error(x, weights, levels, size, new_scale, new_low, power)
        better = (determinant > zero) & (error < best)
        best = choose(better, error, best)
        scale = choose(better, new_scale, scale)
        level_low = choose(better, low, level_low)
        level_reach = choose(better, splat(trial), level_reach)
        low = choose(better, new_low, low)
    return choose(flat, zero, scale), low, level_reach, level_low, high, flat, exact


@device
def _level(value: Floats, low: Floats, inverse: Floats, top: Floats) -> Floats:
    return at_most(at_least(rint((value - low) * inverse), splat(0.0)), top)


@device
def _error(
    x: F32Array,
    weights: F32Array,
    levels: F32Array,
    size: int,
    scale: Floats,
    low: Floats,
    power: int,
) -> Floats:
    total = splat(0.0)
    for i in range(size):
        difference = load(levels, i * LANES) * scale + low - load(x, i * LANES)
        cost = difference * difference if power == 2 else abs(difference)
        total = total + load(weights, i * LANES) * cost
    return total
