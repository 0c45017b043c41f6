"""Rounding and summing in the ways that decide bytes.

ggml rounds with two functions (`nearest_int` and C's `roundf`) and adds float32 numbers one after
another. NumPy's own choices differ in ties, in overflow and in the order of addition.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32Array = NDArray[np.float32]

# Adding 1.5 * 2**23 leaves a float32 no room for a fraction: its low mantissa bits are the integer.
_MAGIC = np.float32(12582912.0)
_MANTISSA = np.int32(0x007FFFFF)
_MAGIC_MANTISSA = np.int32(0x00400000)

# Up to here `nearest_int` and `np.rint` agree (2**22, with room for a bound's own rounding).
EXACT = np.float32(4e6)

# The largest float32 below one half. Adding one half itself would carry 0.49999997 up to 1.
_BELOW_HALF = np.uint32(0x3EFFFFFF)
_SIGN = np.uint32(0x80000000)


def nearest_int(values: F32Array) -> NDArray[np.int32]:
    """Round half to even as ggml's `nearest_int` does, for every float32.

    Below 2**22 in magnitude this is `np.rint`. Beyond, the result is whatever the mantissa of the
    sum holds: infinities give -4194304 and NaN gives 0. Blocks of subnormal values get there.
    """
    bits = (values + _MAGIC).view(np.int32)
    rounded = (bits & _MANTISSA) - _MAGIC_MANTISSA
    rounded[np.isnan(values)] = 0  # the NaN of x86 has an empty mantissa, others need not
    return rounded


def round_in_place(values: F32Array) -> None:
    """`nearest_int` over whole arrays, kept as float32: one pass unless a value is beyond 2**22."""
    top, bottom = values.max(initial=0), values.min(initial=0)
    if top < EXACT and bottom > -EXACT:
        np.rint(values, out=values)
    else:
        values[...] = nearest_int(values)


def add_half_away(values: F32Array, half: NDArray[np.uint32]) -> None:
    """Move `values` one half away from zero, in place: truncation then rounds as `roundf` does.

    Holds for magnitudes below 2**22. `half` is scratch of the same shape.
    """
    np.bitwise_and(values.view(np.uint32), _SIGN, out=half)
    np.bitwise_or(half, _BELOW_HALF, out=half)
    np.add(values, half.view(np.float32), out=values)


def ordered_sum(values: F32Array, out: F32Array | None = None) -> F32Array:
    """Sum over axis 0, element after element as a scalar loop does.

    `np.add.reduce` over the outer axis adds whole rows in turn; where the rows hold one element
    it would switch to pairwise summation, and the running total takes its place.
    """
    if values[0].size > 1:
        return np.add.reduce(values, axis=0, out=out)
    total: F32Array = np.add.accumulate(values, axis=0)[-1]
    if out is None:
        return total
    out[...] = total
    return out
