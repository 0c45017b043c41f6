"""The search for a scale of the grid of IQ4_NL, compiled: twin of `kernels.codebook.fit_iq4`.

Blocks go side by side, one per lane.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.codebook import IQ4_MIDPOINTS, IQ4_VALUES
from quantize.kernels.compiled import compiled, device
from quantize.kernels.compiled.lanes import load_columns
from quantize.kernels.compiled.symmetric import largest_of
from quantize.kernels.compiled.vector import LANES, Floats, choose, load, splat, store

F32Array = NDArray[np.float32]

_MOST = 32  # elements in a block
_EPSILON = np.float32(1e-15)  # kernels.symmetric.NOTHING
_VALUES = IQ4_VALUES.astype(np.float32)


@compiled
def fit_iq4_columns(x: F32Array, weights: F32Array, tries: F32Array, scale: F32Array) -> None:
    """Fill scale, as long as whole vectors, for blocks in columns, `(elements, B)`.

    `tries` is what the largest value is scaled to.
    """
    size, blocks = x.shape
    side, weight = np.empty(_MOST * LANES, np.float32), np.empty(_MOST * LANES, np.float32)
    zero = splat(0.0)
    for b in range(0, blocks, LANES):
        load_columns(x, b, side)
        load_columns(weights, b, weight)
        largest = largest_of(side, size)
        is_zero = abs(largest) < splat(_EPSILON)
        largest = choose(is_zero, splat(1.0), largest)
        # The first candidate divides twice, as ggml does; the tries divide once.
        inverse = splat(1.0) / ((zero - largest) / splat(_VALUES[0]))
        sum_qx, sum_q2 = _sums(side, weight, size, inverse)
        fitted = choose(sum_q2 > zero, sum_qx / sum_q2, zero)
        best = fitted * sum_qx
        for trial in tries:
            sum_qx, sum_q2 = _sums(side, weight, size, splat(trial) / largest)
            better = (sum_q2 > zero) & (sum_qx * sum_qx > best * sum_q2)
            fitted = choose(better, sum_qx / sum_q2, fitted)
            best = choose(better, fitted * sum_qx, best)
        store(scale, b, choose(is_zero, zero, fitted))


@device
def _sums(x: F32Array, weights: F32Array, size: int, inverse: Floats) -> tuple[Floats, Floats]:
    """Of weight * x * nearest and of weight * nearest**2."""
    sum_qx, sum_q2 = splat(0.0), splat(0.0)
    for i in range(size):
        value = load(x, i * LANES)
        nearest = _nearest(value * inverse)
        product = load(weights, i * LANES) * nearest
        sum_qx = sum_qx + product * value
        sum_q2 = sum_q2 + product * nearest
    return sum_qx, sum_q2


@device
def _nearest(value: Floats) -> Floats:
    """The nearest entry; a midpoint goes up."""
    nearest = splat(_VALUES[0])
    for i in range(15):
        nearest = choose(value < splat(IQ4_MIDPOINTS[i]), nearest, splat(_VALUES[i + 1]))
    return nearest
