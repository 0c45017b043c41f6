"""float16, bfloat16 and the values they cannot hold.

Conversions follow ggml's: round to nearest even, subnormals kept. Every function works in pieces
that stay in the cache, so that scratch is small whatever the size of the argument.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.workspace import scratch

F32Array = NDArray[np.float32]
U16Array = NDArray[np.uint16]

_PIECE = 1 << 15  # elements: four scratch arrays of 128 KiB each

# The smallest magnitude that rounds to infinity in float16: halfway from 65504 to 65536.
F16_OVERFLOW = np.float32(65520.0)


def _pieces(size: int) -> Iterator[slice]:
    return (slice(lo, lo + _PIECE) for lo in range(0, size, _PIECE))


def encode_bf16(values: F32Array) -> U16Array:
    """Float32 to bfloat16 bits, same shape. NaN stays NaN and becomes quiet."""
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    out = np.empty(flat.size, np.uint16)
    for piece in _pieces(flat.size):
        bits = flat[piece].view(np.uint32)
        odd = scratch("bf16", bits.shape, np.uint32)
        np.right_shift(bits, 16, out=odd)
        np.bitwise_and(odd, 1, out=odd)
        np.add(odd, np.uint32(0x7FFF), out=odd)
        np.add(odd, bits, out=odd)
        np.right_shift(odd, 16, out=odd)
        out[piece] = odd
        nan = np.isnan(flat[piece], out=scratch("nan", bits.shape, np.bool_))
        if nan.any():
            out[piece][nan] = (bits[nan] >> 16) | 0x40
    return out.reshape(values.shape)


def decode_bf16(bits: U16Array) -> F32Array:
    """Bfloat16 bits to the float32 that has them as its upper half."""
    wide = bits.astype(np.uint32)
    np.left_shift(wide, 16, out=wide)
    return wide.view(np.float32)


def encode_f16(values: F32Array) -> U16Array:
    """Float32 to float16 bits, same shape. Magnitudes from 65520 on become infinities.

    NumPy converts one element at a time. Adding 2**13 times the weight of the leading bit (and at
    least that of the smallest normal float16) pushes the 13 bits that float16 lacks out of the
    mantissa, with the rounding done by the addition: a few passes over whole arrays.
    """
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    out = np.empty(flat.size, np.uint16)
    with np.errstate(over="ignore", invalid="ignore"):
        for piece in _pieces(flat.size):
            _encode_f16_piece(flat[piece], out[piece])
    return out.reshape(values.shape)


def _encode_f16_piece(values: F32Array, out: U16Array) -> None:
    bits = values.view(np.uint32)
    lead = scratch("f16 lead", bits.shape, np.uint32)
    half = scratch("f16 half", bits.shape, np.uint32)
    magnitude = scratch("f16 magnitude", bits.shape)

    np.abs(values, out=magnitude)
    overflow = not magnitude.max(initial=0) < F16_OVERFLOW
    np.bitwise_and(magnitude.view(np.uint32), np.uint32(0x7F800000), out=lead)
    np.maximum(lead, np.uint32(113 << 23), out=lead)  # 2**-14, the smallest normal float16
    np.add(lead, np.uint32(13 << 23), out=lead)
    np.add(magnitude, lead.view(np.float32), out=magnitude)
    # What is left of the mantissa counts units of float16; the implicit bit, where the number is
    # normal, carries into the exponent.
    np.subtract(magnitude.view(np.uint32), lead, out=half)
    np.subtract(lead, np.uint32(126 << 23), out=lead)
    np.right_shift(lead, 13, out=lead)
    np.add(half, lead, out=half)
    np.right_shift(bits, 16, out=lead)
    np.bitwise_and(lead, np.uint32(0x8000), out=lead)
    if overflow:
        wide = np.abs(values)
        half[wide >= F16_OVERFLOW] = 0x7C00
        half[np.isnan(values)] = 0x7E00
    np.bitwise_or(half, lead, out=half)
    out[...] = half


def decode_f16(bits: U16Array) -> F32Array:
    """Float16 bits to float32, exactly."""
    return bits.view(np.float16).astype(np.float32)


def check_finite(values: F32Array) -> int | None:
    """Flat index of the first NaN or infinity, or None."""
    flat = np.ascontiguousarray(values).reshape(-1)
    for piece in _pieces(flat.size):
        finite = np.isfinite(flat[piece], out=scratch("finite", flat[piece].shape, np.bool_))
        if not finite.all():
            return int(piece.start + np.argmin(finite))
    return None


def f16_overflows(values: F32Array) -> int:
    """How many values float16 would turn into infinities."""
    flat = np.ascontiguousarray(values).reshape(-1)
    count = 0
    for piece in _pieces(flat.size):
        magnitude = np.abs(flat[piece], out=scratch("magnitude", flat[piece].shape))
        if not magnitude.max() < F16_OVERFLOW:
            count += int(np.count_nonzero(magnitude >= F16_OVERFLOW))
    return count
