"""Q4_K and Q5_K, compiled: superblocks with a scale and a minimum for every 32 weights.

Twin of `kernels.superblock`. Sixteen sub-blocks, that is two superblocks,
go side by side through the search and the rounding of their scales; their levels are then found in
the order of the weights, and packed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import compiled, device
from quantize.kernels.compiled.asymmetric import search
from quantize.kernels.compiled.lanes import transpose_rows
from quantize.kernels.compiled.rounding import (
    at_least,
    half_bits,
    half_value,
    nearest_level,
    store_half,
)
from quantize.kernels.compiled.vector import (
    LANES,
    Floats,
    Ints,
    choose,
    choose_int,
    load,
    mask_bits,
    splat,
    splat_int,
    sqrt,
    store,
    swap_lanes,
    to_float,
)

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]

SUB = 32
SUBS = 8
SIDE_BY_SIDE = LANES // SUBS

# Scratch: three arrays of SUB vectors, and eight vectors of what is known of each sub-block.
X, WEIGHTS, LEVELS, KNOWN = (i * SUB * LANES for i in range(4))
SCALES, MINS, D, DMIN, STEP, OFFSET, LOW, INVERSE = (i * LANES for i in range(8))
WORK = KNOWN + 8 * LANES


@compiled
def encode(blocks: F32Array, nmax: int, ranges: F32Array, packed: U8Array, work: F32Array) -> bool:
    """Fill `packed`, the bytes of superblocks, from their weights: flat arrays both.

    `work` is scratch for WORK elements. The answer is False where a value left the range of plain
    rounding: then `packed` is not to be used.
    """
    x, weights, levels = work[X:WEIGHTS], work[WEIGHTS:LEVELS], work[LEVELS:KNOWN]
    known = work[KNOWN:]
    count = blocks.size // (SUB * SUBS)
    size = packed.size // count
    plain = True
    for start in range(0, count, SIDE_BY_SIDE):
        transpose_rows(blocks, SUBS * start, SUB, x)
        plain &= _search(x, weights, levels, nmax, ranges, known)
        for i in range(min(SIDE_BY_SIDE, count - start)):
            s = start + i
            block, out = blocks[SUB * SUBS * s :], packed[size * s : size * s + size]
            _pack_scales(known[SUBS * i :].view(np.int32), out)
            _pack_levels(block, known[SUBS * i :], nmax, out)
    return plain


@device
def _search(
    x: F32Array, weights: F32Array, levels: F32Array, nmax: int, ranges: F32Array, known: F32Array
) -> bool:
    _weigh(x, weights)
    scale, low, reach, level_low, high, flat, exact = search(
        x, weights, levels, SUB, nmax, ranges, 2
    )
    zero = splat(0.0)
    store(known, LOW, level_low)
    store(known, INVERSE, choose(flat, zero, reach / choose(flat, splat(1.0), high - level_low)))
    _round(scale, known, SCALES, D, STEP)
    _round(zero - low, known, MINS, DMIN, OFFSET)
    return mask_bits(~exact) == 0


@device
def _weigh(x: F32Array, weights: F32Array) -> None:
    """`kernels.superblock.deviation_weights`."""
    energy = splat(0.0)
    for i in range(SUB):
        value = load(x, i * LANES)
        energy = energy + value * value
    deviation = sqrt(energy / splat(SUB))
    for i in range(SUB):
        store(weights, i * LANES, deviation + abs(load(x, i * LANES)))


@device
def _round(values: Floats, known: F32Array, levels_at: int, half_at: int, product_at: int) -> None:
    """Values as levels up to 63 of the largest among eight neighbours, and what they stand for."""
    largest = at_least(values, swap_lanes(values, 1))
    largest = at_least(largest, swap_lanes(largest, 2))
    largest = at_least(largest, swap_lanes(largest, 4))
    top, zero = splat(63.0), splat(0.0)
    some = largest > zero
    largest = choose(some, largest, zero)
    inverse = choose(some, top / largest, zero)
    # A value below zero, which rounding can make of noise, wraps around in a byte.
    levels = nearest_level(inverse * values, -0x400000, 0x3FFFFF) & splat_int(255)
    levels = choose_int(levels > splat_int(63), splat_int(63), levels)
    half = half_bits(largest / top)
    whole = known.view(np.int32)
    store(whole, levels_at, levels)
    store(whole, half_at, half)
    store(known, product_at, half_value(half) * to_float(levels))


@device
def _pack_scales(known: NDArray[np.int32], out: U8Array) -> None:
    """`kernels.packing.pack_scales`, after the two float16."""
    store_half(out, 0, known[D])
    store_half(out, 2, known[DMIN])
    for i in range(4):
        scale, last_scale = known[SCALES + i], known[SCALES + 4 + i]
        low, last_low = known[MINS + i], known[MINS + 4 + i]
        out[4 + i] = scale | (last_scale >> 4) << 6
        out[8 + i] = low | (last_low >> 4) << 6
        out[12 + i] = (last_scale & 15) | (last_low & 15) << 4


@device
def _pack_levels(block: F32Array, known: F32Array, nmax: int, out: U8Array) -> None:
    """Sub-blocks in pairs share the last 128 bytes; fifth bits are before these."""
    at = out.size - 128
    for i in range(0, SUB, LANES):
        fifths = splat_int(0)
        for sub in range(0, SUBS, 2):
            first = _stored_level(load(block, SUB * sub + i), known, sub, nmax)
            second = _stored_level(load(block, SUB * sub + SUB + i), known, sub + 1, nmax)
            both = (first & splat_int(15)) | (second << splat_int(4))
            store(out, at + SUB // 2 * sub + i, both)
            planes = (first >> splat_int(4)) | ((second >> splat_int(4)) << splat_int(1))
            fifths = fifths | (planes << splat_int(sub))
        if nmax > 15:
            store(out, at - SUB + i, fifths)


@device
def _stored_level(value: Floats, known: F32Array, sub: int, nmax: int) -> Ints:
    """By the scale as it will be read back; where that is zero, the level of the search."""
    step = known[STEP + sub]
    if step == 0:
        scaled = (value - splat(known[LOW + sub])) * splat(known[INVERSE + sub])
    else:
        scaled = (value + splat(known[OFFSET + sub])) / splat(step)
    return nearest_level(scaled, 0, nmax)
