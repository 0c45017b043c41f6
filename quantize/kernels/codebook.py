"""Nearest values of an uneven grid: the codebooks of IQ4_NL (and IQ4_XS), MXFP4 and NVFP4.

The midpoints of the grid of IQ4_NL are multiples of one half, so a table indexed by twice the
value, rounded to a whole number, tells the nearest entry without a search. The magnitudes of FP4
are so few that their midpoints are counted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.rounding import ordered_sum
from quantize.kernels.symmetric import NOTHING, largest
from quantize.kernels.workspace import scratch

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]

# ggml-common.h, kvalues_iq4nl.
IQ4_VALUES = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.int8
)
# The magnitudes of FP4 (e2m1), doubled; codes from 8 on are negative.
FP4_MAGNITUDES = np.array([0, 1, 2, 3, 4, 6, 8, 12], np.int8)
FP4_VALUES = np.concatenate((FP4_MAGNITUDES, -FP4_MAGNITUDES))

_LOW, _HIGH = int(IQ4_VALUES[0]), int(IQ4_VALUES[-1])
IQ4_MIDPOINTS = (IQ4_VALUES[:-1].astype(np.float32) + IQ4_VALUES[1:]) / 2
# Entry n: the code of values from n / 2 up, counted from the lowest. A midpoint goes up.
_IQ4_CODES = np.searchsorted(
    IQ4_MIDPOINTS, np.arange(2 * _LOW, 2 * _HIGH + 1) / 2, side="right"
).astype(np.uint8)
_IQ4_NEAREST = IQ4_VALUES[_IQ4_CODES].astype(np.float32)

_FP4_MIDPOINTS = (FP4_MAGNITUDES[:-1].astype(np.float32) + FP4_MAGNITUDES[1:]) / 2

# The largest value is tried on entry 0 and on seven steps to either side of it.
IQ4_TRIAL_MAXIMA = np.arange(_LOW - 7, _LOW + 8, dtype=np.float32)


def fit_iq4(x: F32Array, weights: F32Array) -> F32Array:
    """Signed scale `(B,)` of every block of `x`, `(elements, B)`; 0 in a block of zeros."""
    top = largest(x)
    zero = np.abs(top) < NOTHING
    top[zero] = 1
    # The first candidate divides twice, as ggml does; the tries divide once.
    sum_qx, sum_q2 = _sums(x, weights, np.float32(1) / (-top / np.float32(_LOW)))
    scale = np.where(sum_q2 > 0, sum_qx / sum_q2, np.float32(0))
    best = scale * sum_qx
    for trial in IQ4_TRIAL_MAXIMA:
        sum_qx, sum_q2 = _sums(x, weights, trial / top)
        taken = np.flatnonzero((sum_q2 > 0) & (sum_qx * sum_qx > best * sum_q2))
        scale[taken] = sum_qx[taken] / sum_q2[taken]
        best[taken] = scale[taken] * sum_qx[taken]
    scale[zero] = 0
    return scale


def iq4_codes(x: F32Array, inverse: F32Array) -> U8Array:
    """Codes of `x * inverse`, 0 to 15."""
    return _IQ4_CODES.take(_half_steps(x, inverse), mode="clip")


def fp4_codes(x: F32Array, scale: F32Array) -> U8Array:
    """Codes of `x / scale` in rows, 0 to 15: `x` is `(B, n)`, `scale` a power of two `(B,)`.

    A midpoint goes down, and there is one zero.
    """
    steps = np.abs(x, out=scratch("steps", x.shape))
    np.divide(steps, scale[:, None], out=steps)
    above = np.greater(steps, _FP4_MIDPOINTS[0])
    codes: U8Array = np.left_shift((above & (x < 0)).view(np.uint8), 3)
    np.add(codes, above.view(np.uint8), out=codes)
    for midpoint in _FP4_MIDPOINTS[1:]:
        np.greater(steps, midpoint, out=above)
        np.add(codes, above.view(np.uint8), out=codes)
    return codes


def nearest_fp4(x: F32Array, scale: F32Array) -> U8Array:
    """The same for any scale: the first code of least error, where errors are rounded too.

    Values far beyond the largest code are as far from all of them, and become 0 as in ggml.
    """
    magnitude = np.abs(x)
    least, codes = magnitude.copy(), np.zeros(x.shape, np.uint8)
    error = np.empty_like(magnitude)
    for code in range(1, 8):
        np.subtract(magnitude, (scale * FP4_VALUES[code])[:, None], out=error)
        np.abs(error, out=error)
        np.copyto(codes, code, where=error < least)
        np.minimum(least, error, out=least)
    negative = (codes > 0) & (x < 0)
    return codes | np.left_shift(negative.view(np.uint8), 3)


def _sums(x: F32Array, weights: F32Array, inverse: F32Array) -> tuple[F32Array, F32Array]:
    nearest = scratch("nearest", x.shape)
    np.take(_IQ4_NEAREST, _half_steps(x, inverse), mode="clip", out=nearest)
    product = np.multiply(weights, nearest, out=scratch("product", x.shape))
    np.multiply(product, nearest, out=nearest)
    sum_q2 = ordered_sum(nearest)
    sum_qx = ordered_sum(np.multiply(product, x, out=product))
    return sum_qx, sum_q2


def _half_steps(x: F32Array, inverse: F32Array) -> NDArray[np.intp]:
    """Position of `x * inverse` in the tables, below and beyond them too."""
    twice = np.multiply(x, inverse, out=scratch("twice", x.shape))
    np.multiply(twice, 2, out=twice)
    np.floor(twice, out=twice)
    np.subtract(twice, 2 * _LOW, out=twice)
    np.clip(twice, 0, len(_IQ4_CODES) - 1, out=twice)
    twice[np.isnan(twice)] = len(_IQ4_CODES) - 1  # ggml's binary search ends there
    steps: NDArray[np.intp] = scratch("steps", x.shape, np.intp)
    np.copyto(steps, twice, casting="unsafe")
    return steps
