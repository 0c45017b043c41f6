"""Blocks of 32 without a search, compiled: twins of Q8_0 and of `kernels.linear`.

Blocks and their bytes are flat arrays. The two halves of a block are one vector each; what there
is one per block is in every lane.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import compiled, device
from quantize.kernels.compiled.lanes import largest_lane
from quantize.kernels.compiled.rounding import at_least, at_most, half_bits, store_half
from quantize.kernels.compiled.vector import (
    LANES,
    Floats,
    Ints,
    bits,
    choose,
    choose_int,
    equal,
    from_bits,
    lane,
    load,
    mask_bits,
    splat,
    splat_int,
    store,
    truncate,
)

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]

BLOCK = 32
_SIGN = -0x80000000
_BELOW_HALF = 0x3EFFFFFF  # kernels.rounding.add_half_away


@compiled
def encode_q8_0(blocks: F32Array, packed: U8Array) -> None:
    for b in range(blocks.size // BLOCK):
        first, second = load(blocks, BLOCK * b), load(blocks, BLOCK * b + LANES)
        scale = largest_lane(at_least(abs(first), abs(second))) / splat(127.0)
        inverse = reciprocal(scale)
        at = 34 * b
        store_half(packed, at, lane(half_bits(scale), 0))
        store(packed, at + 2, _half_away(first * inverse))
        store(packed, at + 2 + LANES, _half_away(second * inverse))


@compiled
def encode_signed(blocks: F32Array, nmax: int, packed: U8Array) -> None:
    """Q4_0 (nmax 8) and Q5_0 (nmax 16): the largest magnitude takes level 0 of 2 * nmax."""
    size = packed.size // (blocks.size // BLOCK)
    zero = splat(0.0)
    for b in range(blocks.size // BLOCK):
        first, second = load(blocks, BLOCK * b), load(blocks, BLOCK * b + LANES)
        depth = largest_lane(zero - at_most(first, second))
        high = largest_lane(at_least(first, second))
        peak = choose(depth > high, zero - depth, high)
        if mask_bits(equal(depth, high)) != 0:
            peak = splat(_first_peak(blocks, BLOCK * b, high))
        scale = peak / splat(-nmax)
        at = size * b
        store_half(packed, at, lane(half_bits(scale), 0))
        _pack(first, second, scale, splat(nmax + 0.5), 2 * nmax - 1, packed, at + size)


@compiled
def encode_affine(blocks: F32Array, nmax: int, packed: U8Array) -> None:
    """Q4_1 (nmax 15) and Q5_1 (nmax 31): the smallest value takes level 0, the largest nmax."""
    size = packed.size // (blocks.size // BLOCK)
    zero = splat(0.0)
    for b in range(blocks.size // BLOCK):
        first, second = load(blocks, BLOCK * b), load(blocks, BLOCK * b + LANES)
        low = zero - largest_lane(zero - at_most(first, second))
        if mask_bits(equal(low, zero)) != 0:
            low = splat(_first_zero(blocks, BLOCK * b))
        high = largest_lane(at_least(first, second))
        scale = (high - low + zero) / splat(nmax)  # -0.0 less 0.0 counts as 0.0
        at = size * b
        store_half(packed, at, lane(half_bits(scale), 0))
        store_half(packed, at + 2, lane(half_bits(low), 0))
        _pack(first - low, second - low, scale, splat(0.5), nmax, packed, at + size)


@device
def _first_peak(blocks: F32Array, at: int, peak: Floats) -> np.float32:
    """The first value whose magnitude is the peak; -0.0 counts as 0.0."""
    i = at
    while mask_bits(equal(splat(abs(blocks[i])), peak)) == 0:
        i += 1
    first: np.float32 = blocks[i] + np.float32(0)
    return first


@device
def _first_zero(blocks: F32Array, at: int) -> np.float32:
    """Of zeros with both signs the first one counts: the file keeps its sign."""
    i = at
    while blocks[i] != 0:
        i += 1
    first: np.float32 = blocks[i]
    return first


@device
def reciprocal(scale: Floats) -> Floats:
    """0 for zero and for the smallest subnormals, whose reciprocal is infinite."""
    inverse = splat(1.0) / scale
    return choose(equal(abs(inverse), splat(np.inf)), splat(0.0), inverse)


@device
def _half_away(value: Floats) -> Ints:
    """Nearest whole numbers, halves away from zero."""
    half = from_bits((bits(value) & splat_int(_SIGN)) | splat_int(_BELOW_HALF))
    return truncate(value + half)


@device
def _pack(
    first: Floats,
    second: Floats,
    scale: Floats,
    offset: Floats,
    top: int,
    packed: U8Array,
    end: int,
) -> None:
    """Levels in the last 16 bytes, both halves in each, and fifth bits in the four before."""
    lower, upper = _levels(first, scale, offset, top), _levels(second, scale, offset, top)
    at = end - LANES
    store(packed, at, (lower & splat_int(15)) | (upper << splat_int(4)))
    if top > 15:
        store_half(packed, at - 4, mask_bits(lower > splat_int(15)))
        store_half(packed, at - 2, mask_bits(upper > splat_int(15)))


@device
def _levels(values: Floats, scale: Floats, offset: Floats, top: int) -> Ints:
    """Levels up to top; level 0 throughout where the scale or its reciprocal overflows."""
    inverse = reciprocal(scale)
    infinite = equal(abs(scale), splat(np.inf))
    lost = infinite | (equal(inverse, splat(0.0)) & ~equal(scale, splat(0.0)))
    scaled = choose(lost, splat(0.0), values * inverse + offset)
    level = truncate(scaled)
    return choose_int(level > splat_int(top), splat_int(top), level)
