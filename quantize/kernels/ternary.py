"""Three levels, -1, 0 and 1 times the largest magnitude: TQ1_0 and TQ2_0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]

# A byte holds five base-3 digits, the first one leading, as a fraction of 256 rounded up: then
# multiplying by 3 moves the next digit over the byte's top.
_POWERS = np.array([1, 3, 9, 27, 81], np.uint8)


def ternary_grid(blocks: F32Array) -> tuple[F32Array, U8Array]:
    """Scale `(B,)` and levels 0, 1, 2 of blocks in rows; one half rounds away from zero."""
    scale: F32Array = np.maximum.reduce(np.abs(blocks), axis=1)
    inverse = np.divide(np.float32(1), scale)
    inverse[np.isinf(inverse)] = 0  # of zero and of the smallest subnormals: level 1
    values = blocks * inverse[:, None]
    half = np.float32(0.5)
    return scale, (values >= half).view(np.uint8) + (values > -half).view(np.uint8)


def pack_trits(levels: U8Array) -> U8Array:
    """Base-3 digits `(B, 5, n)`, 0 to 2, as bytes `(B, n)`."""
    number = np.zeros((len(levels), levels.shape[2]), np.uint16)
    for digit in range(5):
        number = number * 3 + levels[:, digit]
    return ((number * 256 + 242) // 243).astype(np.uint8)


def unpack_trits(packed: U8Array) -> U8Array:
    """Bytes `(B, n)` as digits `(B, 5, n)`."""
    shifted = np.multiply(packed[:, None, :], _POWERS[:, None], dtype=np.uint8)  # wraps
    return (shifted.astype(np.uint16) * 3 >> 8).astype(np.uint8)
