"""Final levels of the K types and their packing, compiled.

Levels are in the order of the weights: `(S, 256)`, or the same memory with one sub-block per row.
Packed superblocks are their bytes, `(S, type_size)`; `at` is where a field starts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import compiled

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]

# `kernels.rounding.nearest_int`: for every float32, without a branch.
_MAGIC = np.float32(12582912.0)
_MANTISSA = np.int32(0x007FFFFF)
_MAGIC_MANTISSA = np.int32(0x00400000)

_ZERO = np.float32(0)


@compiled
def affine_levels(
    blocks: F32Array, steps: F32Array, offsets: F32Array, fit: F32Array, nmax: int, out: U8Array
) -> None:
    """Levels 0 to nmax of `(x + offset) / step`; where the step is zero, those of the search.

    `blocks` and `out` are `(S, 256)`, steps and offsets `(S, 8)`; `fit` is what `affine.search`
    gave.
    """
    scaled = np.empty(256, np.float32)
    for s in range(blocks.shape[0]):
        for sub in range(8):
            block, part = blocks[s, 32 * sub : 32 * sub + 32], scaled[32 * sub : 32 * sub + 32]
            step, offset = steps[s, sub], offsets[s, sub]
            low, inverse = fit[2, 8 * s + sub], fit[3, 8 * s + sub]
            if step == _ZERO:
                for i in range(32):
                    part[i] = (block[i] - low) * inverse
            else:
                for i in range(32):
                    part[i] = (block[i] + offset) / step
        _round(scaled, 0, nmax, out[s])


@compiled
def signed_levels(
    blocks: F32Array, steps: F32Array, fit: F32Array, nmax: int, out: U8Array
) -> None:
    """Levels 0 to 2 * nmax - 1 of `x / step + nmax`; where the step is zero, those of the search.

    `blocks` and `out` are `(S, 256)`, steps `(S, 16)`; `fit` is what `signed.search` gave. A
    sub-block of zeros, whose inverse is zero there, has levels 0.
    """
    scaled = np.empty(256, np.float32)
    zeros = np.float32(-nmax)
    for s in range(blocks.shape[0]):
        for sub in range(16):
            block, part = blocks[s, 16 * sub : 16 * sub + 16], scaled[16 * sub : 16 * sub + 16]
            step, inverse = steps[s, sub], fit[1, 16 * s + sub]
            if step != _ZERO:
                for i in range(16):
                    part[i] = block[i] / step
            elif inverse != _ZERO:
                for i in range(16):
                    part[i] = block[i] * inverse
            else:
                part[:] = zeros
        _round(scaled, nmax, 2 * nmax - 1, out[s])


@compiled
def _round(scaled: F32Array, zero: int, top: int, levels: U8Array) -> None:
    """Nearest whole numbers of 256 values, plus `zero`, kept between 0 and `top`."""
    rounded = np.empty(256, np.float32)
    for i in range(256):
        rounded[i] = scaled[i] + _MAGIC
    bits = rounded.view(np.int32)
    for i in range(256):
        # Numba widens every integer operation; lanes of 64 bits would be half as many.
        level = np.int32((bits[i] & _MANTISSA) - _MAGIC_MANTISSA + zero)
        level = np.int32(0) if level < 0 else level
        levels[i] = np.int32(top) if level > top else level


@compiled
def pack_nibbles(levels: U8Array, packed: U8Array, at: int) -> None:
    """Sub-blocks of 32 in pairs share 32 bytes, the first in the low halves."""
    for s in range(levels.shape[0]):
        for pair in range(4):
            low = levels[s, 64 * pair : 64 * pair + 32]
            high = levels[s, 64 * pair + 32 : 64 * pair + 64]
            out = packed[s, at + 32 * pair : at + 32 * pair + 32]
            for i in range(32):
                out[i] = (low[i] & 15) | (high[i] << 4)


@compiled
def pack_fifth_planes(levels: U8Array, packed: U8Array, at: int) -> None:
    """Fifth bits: bit j of a byte from sub-block j."""
    for s in range(levels.shape[0]):
        out = packed[s, at : at + 32]
        out[:] = 0
        for sub in range(8):
            plane = levels[s, 32 * sub : 32 * sub + 32]
            for i in range(32):
                out[i] |= (plane[i] >> 4) << sub


@compiled
def pack_six(levels: U8Array, packed: U8Array, low_at: int, high_at: int) -> None:
    """Q6_K: in either half four runs of 32; low four bits pairwise, high two bits together."""
    for s in range(levels.shape[0]):
        for half in range(2):
            runs = levels[s, 128 * half : 128 * half + 128]
            low = packed[s, low_at + 64 * half : low_at + 64 * half + 64]
            high = packed[s, high_at + 32 * half : high_at + 32 * half + 32]
            first, second, third, fourth = runs[0:32], runs[32:64], runs[64:96], runs[96:128]
            for i in range(32):
                low[i] = (first[i] & 15) | (third[i] << 4)
                low[i + 32] = (second[i] & 15) | (fourth[i] << 4)
                high[i] = (
                    (first[i] >> 4)
                    | ((second[i] >> 4) << 2)
                    | ((third[i] >> 4) << 4)
                    | ((fourth[i] >> 4) << 6)
                )
