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

    `blocks` and `out` are `(B, 32)`, `fit` is what `affine.search` gave.
    """
    scaled = np.empty(32, np.float32)
    bits = scaled.view(np.int32)
    for b in range(blocks.shape[0]):
        block, levels, step, offset = blocks[b], out[b], steps[b], offsets[b]
        low, inverse = fit[2, b], fit[3, b]
        if step == _ZERO:
            for i in range(32):
                scaled[i] = (block[i] - low) * inverse + _MAGIC
        else:
            for i in range(32):
                scaled[i] = (block[i] + offset) / step + _MAGIC
        for i in range(32):
            level = (bits[i] & _MANTISSA) - _MAGIC_MANTISSA
            levels[i] = min(max(level, 0), nmax)


@compiled
def signed_levels(
    blocks: F32Array, steps: F32Array, inverses: F32Array, nmax: int, out: U8Array
) -> None:
    """Levels 0 to 2 * nmax - 1 of `x / step + nmax`; where the step is zero, of `x * inverse`.

    `blocks` and `out` are `(B, 16)`. A block of zeros, whose inverse is zero, has levels 0.
    """
    scaled = np.empty(16, np.float32)
    bits = scaled.view(np.int32)
    for b in range(blocks.shape[0]):
        block, levels, step, inverse = blocks[b], out[b], steps[b], inverses[b]
        if step == _ZERO and inverse == _ZERO:
            levels[:] = 0
            continue
        if step == _ZERO:
            for i in range(16):
                scaled[i] = block[i] * inverse + _MAGIC
        else:
            for i in range(16):
                scaled[i] = block[i] / step + _MAGIC
        for i in range(16):
            level = (bits[i] & _MANTISSA) - _MAGIC_MANTISSA
            levels[i] = min(max(level, -nmax), nmax - 1) + nmax


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
