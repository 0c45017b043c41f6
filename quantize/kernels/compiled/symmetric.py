"""The search for a signed scale, compiled: twin of `kernels.symmetric`.

Blocks go side by side, one per lane.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import compiled, device
from quantize.kernels.compiled.lanes import load_columns
from quantize.kernels.compiled.rounding import at_least, at_most
from quantize.kernels.compiled.vector import LANES, Floats, choose, equal, load, rint, splat, store

F32Array = NDArray[np.float32]

_MOST = 32  # elements in a block
_EPSILON = np.float32(1e-15)  # kernels.symmetric.NOTHING


@compiled
def fit_signed_columns(
    x: F32Array,
    weights: F32Array,
    nmax: int,
    trial_maxima: F32Array,
    scale: F32Array,
    inverse: F32Array,
) -> None:
    """Fill scale and inverse, as long as whole vectors, for blocks in columns, `(elements, B)`.

    `trial_maxima` is what the largest value is scaled to: first -nmax, then the candidates around
    it.
    """
    size, blocks = x.shape
    work = np.empty(3 * _MOST * LANES, np.float32)
    side, weight, weighted = work[: _MOST * LANES], work[_MOST * LANES :], work[2 * _MOST * LANES :]
    for b in range(0, blocks, LANES):
        load_columns(x, b, side)
        load_columns(weights, b, weight)
        for i in range(size):
            at = i * LANES
            store(weighted, at, load(weight, at) * load(side, at))
        best, best_inverse = search(side, weight, weighted, size, nmax, trial_maxima)
        store(scale, b, best)
        store(inverse, b, best_inverse)


@device
def search(
    x: F32Array, weights: F32Array, weighted: F32Array, size: int, nmax: int, trial_maxima: F32Array
) -> tuple[Floats, Floats]:
    """Scale and inverse of one vector of blocks; `weighted` is weights * x."""
    zero = splat(0.0)
    largest = largest_of(x, size)
    is_zero = abs(largest) < splat(_EPSILON)
    largest = choose(is_zero, splat(1.0), largest)

    inverse = splat(trial_maxima[0]) / largest
    sum_lx, sum_l2 = _sums(x, weights, weighted, size, nmax, inverse)
    scale = choose(equal(sum_l2, zero), zero, sum_lx / sum_l2)
    best = scale * sum_lx
    for trial in trial_maxima[1:]:
        candidate = splat(trial) / largest
        sum_lx, sum_l2 = _sums(x, weights, weighted, size, nmax, candidate)
        better = (sum_l2 > zero) & (sum_lx * sum_lx > best * sum_l2)
        scale = choose(better, sum_lx / sum_l2, scale)
        best = choose(better, scale * sum_lx, best)
        inverse = choose(better, candidate, inverse)
    return choose(is_zero, zero, scale), choose(is_zero, zero, inverse)


@device
def largest_of(x: F32Array, size: int) -> Floats:
    """The value of largest magnitude of each block, the first where several tie."""
    largest = splat(0.0)
    for i in range(size):
        value = load(x, i * LANES)
        largest = choose(abs(value) > abs(largest), value, largest)
    return largest


@device
def _sums(
    x: F32Array, weights: F32Array, weighted: F32Array, size: int, nmax: int, inverse: Floats
) -> tuple[Floats, Floats]:
    """Of weight * x * level and of weight * level**2."""
    bottom, top = splat(-nmax), splat(nmax - 1)
    sum_lx, sum_l2 = splat(0.0), splat(0.0)
    for i in range(size):
        at = i * LANES
        level = at_most(at_least(rint(load(x, at) * inverse), bottom), top)
        sum_lx = sum_lx + load(weighted, at) * level
        sum_l2 = sum_l2 + load(weights, at) * level * level
    return sum_lx, sum_l2
