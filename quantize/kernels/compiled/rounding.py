"""Rounding of vectors: twins of `kernels.rounding` and of float16 in `kernels.floats`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import device
from quantize.kernels.compiled.vector import (
    Floats,
    Ints,
    bits,
    choose,
    choose_int,
    from_bits,
    splat,
    splat_int,
)

_INFINITY = 0x7F800000
_SMALLEST = 113 << 23  # 2**-14, the smallest normal float16
_OVERFLOW = 0x477FF000  # 65520, which rounds to infinity


@device
def at_least(value: Floats, bottom: Floats) -> Floats:
    """The larger one; NaN stays."""
    return choose(bottom > value, bottom, value)


@device
def at_most(value: Floats, top: Floats) -> Floats:
    """The smaller one; NaN stays."""
    return choose(top < value, top, value)


@device
def nearest_level(value: Floats, low: int, high: int) -> Ints:
    """`kernels.rounding.nearest_int`, for every float32, then kept from low to high."""
    mantissa = bits(value + splat(12582912.0)) & splat_int(0x007FFFFF)
    level = mantissa - splat_int(0x00400000)
    bottom, top = splat_int(low), splat_int(high)
    level = choose_int(level < bottom, bottom, level)
    return choose_int(level > top, top, level)


@device
def half_bits(value: Floats) -> Ints:
    """Bits of float16; `kernels.floats.encode_f16` has the method."""
    word = bits(value)
    magnitude = word & splat_int(0x7FFFFFFF)
    smallest = splat_int(_SMALLEST)
    lead = magnitude & splat_int(_INFINITY)
    lead = choose_int(lead < smallest, smallest, lead) + splat_int(13 << 23)
    total = bits(from_bits(magnitude) + from_bits(lead))
    number = total - lead + ((lead - splat_int(126 << 23)) >> splat_int(13))
    number = choose_int(magnitude < splat_int(_OVERFLOW), number, splat_int(0x7C00))
    number = choose_int(magnitude > splat_int(_INFINITY), splat_int(0x7E00), number)
    return number | ((word >> splat_int(16)) & splat_int(0x8000))


@device
def half_value(number: Ints) -> Floats:
    """The numbers that bits of float16 spell, which are not NaN."""
    magnitude = number & splat_int(0x7FFF)
    # float32 with 112 less in the exponent, subnormal where float16 is.
    value = from_bits(magnitude << splat_int(13)) * splat(2.0**112)
    value = choose(magnitude < splat_int(0x7C00), value, splat(np.inf))
    return from_bits(bits(value) | ((number & splat_int(0x8000)) << splat_int(16)))


@device
def store_half(packed: NDArray[np.uint8], at: int, number: int) -> None:
    """Bits of one float16, low byte first."""
    packed[at] = number & 255
    packed[at + 1] = (number >> 8) & 255
