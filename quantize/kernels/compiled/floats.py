"""float16 and bfloat16, compiled: twins of `kernels.floats`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import compiled

F32Array = NDArray[np.float32]
U16Array = NDArray[np.uint16]

_PIECE = 1024
_OVERFLOW = np.uint32(0x477FF000)  # 65520, which rounds to infinity
_INFINITY = np.uint32(0x7F800000)
_MAGNITUDE = np.uint32(0x7FFFFFFF)
_SMALLEST = np.uint32(113 << 23)  # 2**-14, the smallest normal float16


@compiled
def bf16(bits: NDArray[np.uint32], out: U16Array) -> None:
    """Bits of float32 `(n,)` to bits of bfloat16."""
    for i in range(bits.size):
        word = bits[i]
        rounded = (
            word + np.uint32(0x7FFF) + ((word >> np.uint32(16)) & np.uint32(1))
        ) >> np.uint32(16)
        quiet = (word >> np.uint32(16)) | np.uint32(0x40)
        out[i] = quiet if (word & _MAGNITUDE) > _INFINITY else rounded


@compiled
def f16(values: F32Array, out: U16Array) -> None:
    """Float32 `(n,)` to bits of float16; see `kernels.floats.encode_f16` for the method."""
    lead = np.empty(_PIECE, np.uint32)
    total = np.empty(_PIECE, np.float32)
    leads, totals = lead.view(np.float32), total.view(np.uint32)
    bits = values.view(np.uint32)
    for start in range(0, values.size, _PIECE):
        piece, word, half = (
            values[start : start + _PIECE],
            bits[start : start + _PIECE],
            out[start : start + _PIECE],
        )
        for i in range(piece.size):
            lead[i] = max(word[i] & _INFINITY, _SMALLEST) + np.uint32(13 << 23)
        for i in range(piece.size):
            total[i] = abs(piece[i]) + leads[i]
        for i in range(piece.size):
            sign = (word[i] >> np.uint32(16)) & np.uint32(0x8000)
            magnitude = word[i] & _MAGNITUDE
            number = totals[i] - lead[i] + ((lead[i] - np.uint32(126 << 23)) >> np.uint32(13))
            number = np.uint32(0x7C00) if magnitude >= _OVERFLOW else number
            number = np.uint32(0x7E00) if magnitude > _INFINITY else number
            half[i] = sign | number
