"""Floats of eight and four bits, decoded by tables: E4M3, E5M2, E8M0 and E2M1.

Formats: OCP 8-bit Floating Point 1.0 (E4M3 has no infinities: only 0x7F and 0xFF are NaN); OCP
Microscaling 1.0 (E8M0 is a power of two with bias 127, 0xFF is NaN; E2M1 has neither).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]


def _minifloat(exponent_bits: int, mantissa_bits: int, bias: int) -> F32Array:
    """Values of all codes of a float with a sign, subnormals, and no special codes."""
    codes = np.arange(1 << (1 + exponent_bits + mantissa_bits))
    mantissa = codes & ((1 << mantissa_bits) - 1)
    exponent = (codes >> mantissa_bits) & ((1 << exponent_bits) - 1)
    # A subnormal has the exponent of the smallest normal and no implicit bit.
    whole = np.where(exponent == 0, mantissa, mantissa + (1 << mantissa_bits))
    power = np.maximum(exponent, 1) - bias - mantissa_bits
    magnitude = np.ldexp(whole.astype(np.float32), power)
    negative = codes >> (exponent_bits + mantissa_bits) == 1
    signed: F32Array = np.where(negative, -magnitude, magnitude)
    return signed


E4M3_VALUES = _minifloat(4, 3, 7)
E4M3_VALUES[[0x7F, 0xFF]] = np.nan

E5M2_VALUES = _minifloat(5, 2, 15)
E5M2_VALUES[[0x7C, 0xFC]] = np.inf, -np.inf
E5M2_VALUES[[0x7D, 0x7E, 0x7F, 0xFD, 0xFE, 0xFF]] = np.nan

E2M1_VALUES = _minifloat(2, 1, 1)

E8M0_VALUES = np.append(np.ldexp(np.float32(1), np.arange(255) - 127), np.float32(np.nan))


def decode_e4m3(codes: U8Array) -> F32Array:
    return E4M3_VALUES[codes]


def decode_e5m2(codes: U8Array) -> F32Array:
    return E5M2_VALUES[codes]


def decode_e8m0(codes: U8Array) -> F32Array:
    return E8M0_VALUES[codes]


def decode_e2m1_pairs(packed: U8Array) -> F32Array:
    """Two codes a byte, the first in the low half: `(n, k)` to `(n, 2k)`."""
    values = np.empty((len(packed), 2 * packed.shape[1]), np.float32)
    values[:, 0::2] = E2M1_VALUES[packed & 15]
    values[:, 1::2] = E2M1_VALUES[packed >> 4]
    return values
