"""Q6_K, compiled: superblocks with a signed scale for every 16 weights.

Twin of `quantizers.q6_k`. The sixteen sub-blocks of one superblock go side
by side through the search; their levels are then found in the order of the weights, and packed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import compiled, device
from quantize.kernels.compiled.lanes import transpose_rows
from quantize.kernels.compiled.rounding import half_bits, half_value, nearest_level, store_half
from quantize.kernels.compiled.symmetric import search
from quantize.kernels.compiled.vector import (
    LANES,
    Ints,
    choose,
    equal,
    lane,
    load,
    splat,
    splat_int,
    store,
    to_float,
)

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]

SUB = 16
SIZE = SUB * LANES
TYPE_SIZE = 210
QL, QH, SCALES, D = 0, 128, 192, 208

# Scratch: three arrays of SUB vectors, and three vectors of what is known of each sub-block.
X, SQUARES, CUBES, KNOWN = (i * SIZE for i in range(4))
SCALE, INVERSE, STEP = (i * LANES for i in range(3))
WORK = KNOWN + 3 * LANES

_EPSILON = np.float32(1e-15)  # kernels.symmetric.NOTHING


@compiled
def encode(blocks: F32Array, trial_maxima: F32Array, packed: U8Array, work: F32Array) -> None:
    """Fill `packed`, the bytes of superblocks, from their weights: flat arrays both.

    `trial_maxima` is what the largest value is scaled to: first -32, then the candidates around it.
    `work` is scratch for WORK elements.
    """
    known = work[KNOWN:]
    for s in range(blocks.size // SIZE):
        block, out = blocks[s * SIZE :], packed[s * TYPE_SIZE : s * TYPE_SIZE + TYPE_SIZE]
        transpose_rows(block[:SIZE], 0, SUB, work[X:SQUARES])
        _search(work[X:SQUARES], work[SQUARES:CUBES], work[CUBES:KNOWN], trial_maxima, known)
        if _store_scales(known, out):
            _pack_levels(block, known, out)
        else:
            out[:] = 0


@device
def _search(
    x: F32Array, squares: F32Array, cubes: F32Array, trial_maxima: F32Array, known: F32Array
) -> None:
    for i in range(SUB):
        value = load(x, i * LANES)
        square = value * value
        store(squares, i * LANES, square)
        store(cubes, i * LANES, square * value)
    scale, inverse = search(x, squares, cubes, SUB, 32, trial_maxima)
    # Sums beyond float32 give NaN: ggml leaves such a sub-block out.
    store(known, SCALE, choose(equal(scale, scale), scale, splat(0.0)))
    store(known, INVERSE, inverse)


@device
def _store_scales(known: F32Array, out: U8Array) -> bool:
    """Scales as shares of the largest; false where all are zero."""
    largest = np.float32(0)
    for i in range(LANES):
        scale = known[SCALE + i]
        largest = scale if abs(scale) > abs(largest) else largest
    if abs(largest) < _EPSILON:
        return False
    inverse = splat(-128.0) / splat(largest)
    share = nearest_level(inverse * load(known, SCALE), -0x400000, 127)
    # Infinite scales leave int8, and wrap around.
    share = ((share + splat_int(128)) & splat_int(255)) - splat_int(128)
    half = half_bits(splat(1.0) / inverse)
    store(out, SCALES, share)
    store_half(out, D, lane(half, 0))
    store(known, STEP, half_value(half) * to_float(share))
    return True


@device
def _pack_levels(block: F32Array, known: F32Array, out: U8Array) -> None:
    """`quantizers.q6_k` has the order: four runs of 32 in either half of the superblock."""
    low, two, four, six = splat_int(15), splat_int(2), splat_int(4), splat_int(6)
    for half in range(2):
        for i in range(2):
            sub = 8 * half + i
            first, second = _level(block, known, sub), _level(block, known, sub + 2)
            third, fourth = _level(block, known, sub + 4), _level(block, known, sub + 6)
            store(out, QL + 64 * half + SUB * i, (first & low) | (third << four))
            store(out, QL + 64 * half + SUB * i + 32, (second & low) | (fourth << four))
            high = (first >> four) | ((second >> four) << two)
            high = high | ((third >> four) << four) | ((fourth >> four) << six)
            store(out, QH + 32 * half + SUB * i, high)


@device
def _level(block: F32Array, known: F32Array, sub: int) -> Ints:
    """By the scale as it will be read back; where that is zero, the level of the search."""
    value = load(block, SUB * sub)
    step, inverse = known[STEP + sub], known[INVERSE + sub]
    if step != 0:
        return nearest_level(value / splat(step), -32, 31) + splat_int(32)
    if inverse != 0:
        return nearest_level(value * splat(inverse), -32, 31) + splat_int(32)
    return splat_int(0)
