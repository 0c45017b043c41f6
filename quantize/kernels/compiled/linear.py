"""Blocks of 32 without a search, compiled: twins of Q8_0, Q5_0 and Q5_1.

Blocks are `(B, 32)`, packed blocks their bytes `(B, type_size)`; scales go out as float32 `(B,)`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import compiled

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]

_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_BELOW_HALF = np.float32(0.49999997)  # kernels.rounding.add_half_away


@compiled
def q8_0(blocks: F32Array, packed: U8Array, scales: F32Array) -> None:
    tree = np.empty(16, np.float32)
    for b in range(blocks.shape[0]):
        block, out = blocks[b], packed[b, 2:34]
        scale = _peak(block, tree) / np.float32(127)
        scales[b] = scale
        inverse = _reciprocal(scale)
        for i in range(32):
            value = block[i] * inverse
            value += -_BELOW_HALF if value < _ZERO else _BELOW_HALF
            out[i] = np.int32(value)


@compiled
def q5_0(blocks: F32Array, packed: U8Array, scales: F32Array) -> None:
    tree = np.empty(16, np.float32)
    levels = np.empty(32, np.uint8)
    for b in range(blocks.shape[0]):
        block = blocks[b]
        peak = _peak(block, tree)
        top = _ZERO
        for i in range(32):
            if abs(block[i]) == peak:
                top = block[i] + _ZERO  # a peak of -0.0 counts as 0.0
                break
        scale = top / np.float32(-16)
        scales[b] = scale
        _store(block, _ZERO, scale, np.float32(16.5), levels)
        _pack(levels, packed[b, 2:22])


@compiled
def q5_1(blocks: F32Array, packed: U8Array, scales: F32Array, lows: F32Array) -> None:
    levels = np.empty(32, np.uint8)
    for b in range(blocks.shape[0]):
        block = blocks[b]
        low, high = block[0], block[0]
        for i in range(32):
            low = min(low, block[i])
            high = max(high, block[i])
        scale = (high - low) / np.float32(31)
        scales[b], lows[b] = scale, low
        _store(block, low, scale, _HALF, levels)
        _pack(levels, packed[b, 4:24])


@compiled
def _peak(block: F32Array, tree: F32Array) -> np.float32:
    """Largest magnitude of 32, by halves: a maximum does not depend on the order."""
    for i in range(16):
        tree[i] = max(abs(block[i]), abs(block[i + 16]))
    for i in range(8):
        tree[i] = max(tree[i], tree[i + 8])
    for i in range(4):
        tree[i] = max(tree[i], tree[i + 4])
    return max(tree[0], tree[1], tree[2], tree[3])


@compiled
def _reciprocal(scale: np.float32) -> np.float32:
    """0 for zero and for the smallest subnormals, whose reciprocal is infinite."""
    inverse = _ONE / scale
    return _ZERO if np.isinf(inverse) else inverse


@compiled
def _store(
    block: F32Array, low: np.float32, scale: np.float32, offset: np.float32, levels: U8Array
) -> None:
    """Levels up to 31; level 0 throughout where the scale or its reciprocal overflows."""
    inverse = _reciprocal(scale)
    if np.isinf(scale) or (inverse == _ZERO and scale != _ZERO):
        levels[:] = 0
        return
    for i in range(32):
        level = np.int32((block[i] - low) * inverse + offset)
        levels[i] = np.int32(31) if level > 31 else level


@compiled
def _pack(levels: U8Array, out: U8Array) -> None:
    """Four bytes of fifth bits, then 16 of nibbles: elements i and i + 16 share a byte."""
    fifths = np.uint32(0)
    for i in range(32):
        fifths |= np.uint32(levels[i] >> 4) << np.uint32(i)
    for i in range(4):
        out[i] = (fifths >> np.uint32(8 * i)) & np.uint32(255)
    for i in range(16):
        out[4 + i] = (levels[i] & 15) | (levels[i + 16] << 4)
