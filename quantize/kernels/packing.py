"""Levels to bits and back, in ggml's orders.

Arrays are `(elements, B)` with one block per column, or `(elements, sub, S)` with the sub-blocks of
S superblocks; stored bytes are `(S, bytes)`.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.workspace import scratch

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]
T = TypeVar("T", bound=np.generic)

_PLANES = np.arange(8, dtype=np.uint8)[:, None]
_BITS = np.arange(8, dtype=np.uint8)
_PAIRS = np.arange(0, 8, 2, dtype=np.uint8)[:, None]


def split_subblocks(blocks: F32Array, elements: int, name: str = "elements") -> F32Array:
    """Blocks `(S, size)` as `(elements, size / elements * S)`: sub-blocks in columns.

    Column `j * S + s` is sub-block j of block s. The result is scratch of that `name`.
    """
    count, size = blocks.shape
    subs = size // elements
    out = scratch(name, (elements, subs, count))
    np.copyto(out, blocks.reshape(count, subs, elements).transpose(2, 1, 0))
    return out.reshape(elements, subs * count)


def pack_nibbles(levels: U8Array, out: U8Array) -> None:
    """Neighbouring sub-blocks share bytes: `(elements, 2p, S)` to `(S, p * elements)`.

    The even sub-block takes the low half of each byte, the odd one the high half.
    """
    elements, subs, count = levels.shape
    high = np.left_shift(levels[:, 1::2], 4)  # a fifth bit falls out
    np.bitwise_or(high, levels[:, 0::2] & 15, out=high)
    out.reshape(count, subs // 2, elements)[...] = high.transpose(2, 1, 0)


def unpack_nibbles(packed: U8Array, elements: int) -> U8Array:
    """The inverse in the order of elements: `(S, p * elements)` to `(S, 2p, elements)`."""
    pairs = packed.reshape(len(packed), -1, 1, elements)
    both = np.concatenate((pairs & 15, pairs >> 4), axis=2)
    return both.reshape(len(packed), -1, elements)


def in_order(levels: NDArray[T]) -> NDArray[T]:
    """Levels `(elements, sub, S)` as `(S, 256)`, the order of the weights."""
    return np.ascontiguousarray(levels.transpose(2, 1, 0)).reshape(levels.shape[2], -1)


def pack_pairs(levels: U8Array) -> U8Array:
    """Two bits each: `(S, 256)` as `(S, 64)`. In either half, four runs of 32 share bytes."""
    runs = np.left_shift(levels.reshape(-1, 2, 4, 32), _PAIRS)
    packed: U8Array = np.bitwise_or.reduce(runs, axis=2)
    return packed.reshape(-1, 64)


def unpack_pairs(packed: U8Array) -> U8Array:
    """The inverse, `(S, 64)` to `(S, 256)`."""
    runs = np.right_shift(packed.reshape(-1, 2, 1, 32), _PAIRS)
    return np.bitwise_and(runs, 3).reshape(-1, 256)


def pack_halves(levels: U8Array, out: U8Array) -> None:
    """Blocks in rows: element i and element i + n share a byte, `(B, 2n)` to `(B, n)`."""
    half = levels.shape[1] // 2
    high = np.left_shift(levels[:, half:], 4)  # in the order of memory, which rows may not be
    np.bitwise_or(high, levels[:, :half] & 15, out=high)
    out[...] = high


def unpack_halves(packed: U8Array) -> U8Array:
    """`(B, n)` bytes as `(B, 2n)` levels."""
    return np.concatenate((packed & 15, packed >> 4), axis=1)


def pack_scales(scales: U8Array, mins: U8Array, out: U8Array) -> None:
    """Eight 6-bit scales and mins `(8, S)` in 12 bytes `(S, 12)`, the layout of Q4_K and Q5_K.

    The first four of each are whole in bytes 0-3 and 4-7; the others have their low four bits
    in bytes 8-11 and their high two bits on top of the first ones.
    """
    out[:, 0:4] = (scales[:4] | (scales[4:] >> 4) << 6).T
    out[:, 4:8] = (mins[:4] | (mins[4:] >> 4) << 6).T
    out[:, 8:12] = (scales[4:] & 15 | (mins[4:] & 15) << 4).T


def unpack_scales(packed: U8Array) -> tuple[U8Array, U8Array]:
    """Scales and mins `(S, 8)` each, out of 12 bytes `(S, 12)`."""
    first, second, third = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate((first & 63, third & 15 | (first >> 6) << 4), axis=1)
    mins = np.concatenate((second & 63, third >> 4 | (second >> 6) << 4), axis=1)
    return scales, mins


def pack_fifth_bits(levels: U8Array) -> U8Array:
    """The fifth bits of 32 levels `(B, 32)` as four bytes `(B, 4)`, element 0 lowest."""
    bits = np.right_shift(levels, 4).reshape(-1, 4, 8)
    np.left_shift(bits, _BITS, out=bits)
    packed: U8Array = np.bitwise_or.reduce(bits, axis=2)
    return packed


def unpack_fifth_bits(packed: U8Array) -> U8Array:
    """Four bytes `(B, 4)` as 16 or 0 for each of 32 levels `(B, 32)`."""
    return np.left_shift(np.unpackbits(packed, axis=1, bitorder="little"), 4)


def pack_fifth_planes(levels: U8Array) -> U8Array:
    """The fifth bits of `(32, 8, S)` levels as `(S, 32)`: bit j of a byte from sub-block j."""
    planes = np.left_shift(np.right_shift(levels, 4), _PLANES)
    packed: U8Array = np.bitwise_or.reduce(planes, axis=1).T
    return packed


def unpack_fifth_planes(packed: U8Array) -> U8Array:
    """`(S, 32)` bytes as 16 or 0 for each of the levels `(S, 8, 32)`."""
    bits = np.bitwise_and(np.right_shift(packed[:, None, :], _PLANES), 1)
    return np.left_shift(bits, 4)
