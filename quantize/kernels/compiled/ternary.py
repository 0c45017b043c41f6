"""TQ1_0 and TQ2_0, compiled: twin of `kernels.ternary`.

Superblocks and their bytes are flat arrays; the levels of sixteen weights are one vector.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import compiled, device
from quantize.kernels.compiled.lanes import largest_lane
from quantize.kernels.compiled.linear import reciprocal
from quantize.kernels.compiled.rounding import at_least, half_bits, store_half
from quantize.kernels.compiled.vector import (
    LANES,
    Floats,
    Ints,
    choose_int,
    lane,
    load,
    splat,
    splat_int,
    store,
    to_float,
    truncate,
)

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]

SIZE = 256
TQ1_0, TQ2_0 = 54, 66  # bytes of a superblock


@compiled
def encode_tq2_0(blocks: F32Array, packed: U8Array) -> None:
    """Four levels to a byte, from four runs of 32 in either half."""
    for b in range(blocks.size // SIZE):
        at, out = SIZE * b, TQ2_0 * b
        peak = _peak(blocks, at)
        inverse = reciprocal(peak)
        store_half(packed, out + 64, lane(half_bits(peak), 0))
        for run in (0, LANES, 128, 128 + LANES):
            levels = splat_int(0)
            for i in range(4):
                level = _level(load(blocks, at + run + 32 * i), inverse)
                levels = levels | (level << splat_int(2 * i))
            store(packed, out + run // 128 * 32 + run % 128, levels)


@compiled
def encode_tq1_0(blocks: F32Array, packed: U8Array) -> None:
    """Five levels to a byte: see `quantizers.tq1_0` for the order."""
    for b in range(blocks.size // SIZE):
        at, out = SIZE * b, TQ1_0 * b
        peak = _peak(blocks, at)
        inverse = reciprocal(peak)
        store_half(packed, out + 52, lane(half_bits(peak), 0))
        for start, run, step in ((0, 0, 32), (LANES, LANES, 32), (160, 32, 16)):
            number = splat_int(0)
            for i in range(5):
                number = _append(number, _level(load(blocks, at + start + step * i), inverse))
            store(packed, out + run, _fraction(number))
        last = _level(load(blocks, at + 240), inverse)
        for i in range(4):
            number = splat_int(0)
            for digit in range(4):
                number = _append(number, splat_int(lane(last, 4 * digit + i)))
            packed[out + 48 + i] = lane(_fraction(_append(number, splat_int(0))), 0)


@device
def _peak(blocks: F32Array, at: int) -> Floats:
    peak = splat(0.0)
    for i in range(at, at + SIZE, LANES):
        peak = at_least(peak, abs(load(blocks, i)))
    return largest_lane(peak)


@device
def _level(value: Floats, inverse: Floats) -> Ints:
    """0, 1 or 2; one half rounds away from zero."""
    value = value * inverse
    one, zero = splat_int(1), splat_int(0)
    upper = choose_int(value < splat(0.5), zero, one)
    return upper + choose_int(value > splat(-0.5), one, zero)


@device
def _append(number: Ints, digit: Ints) -> Ints:
    return number + number + number + digit


@device
def _fraction(number: Ints) -> Ints:
    """Five digits as a fraction of 256, rounded up; the quotient is far from a wrong integer."""
    above = (number << splat_int(8)) + splat_int(242)
    return truncate(to_float(above) / splat(243.0))
