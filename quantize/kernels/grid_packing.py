"""Signs, scales and points of IQ2 and IQ3, to bits and back. Arrays are `(S, ...)`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.grids import grid

F16Array = NDArray[np.float16]
F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]
U32Array = NDArray[np.uint32]

# What the levels of the grids stand for when weights are read back; ggml-common.h has it.
IQ2_VALUES = np.array([8, 25, 43], np.float32)
IQ3_XXS_VALUES = np.array([4, 12, 20, 28, 36, 44, 52, 62], np.float32)
IQ3_S_VALUES = np.arange(1, 16, 2, dtype=np.float32)

_SEVEN = np.arange(128, dtype=np.uint8)
_PARITY = np.unpackbits(_SEVEN[:, None], axis=1).sum(axis=1, dtype=np.uint8) & 1
_EIGHT = _SEVEN | _PARITY << 7

_SIGN_SHIFTS = np.arange(0, 28, 7, dtype=np.uint32)
_SCALE_SHIFT = np.uint32(28)


def with_eighth(seven: NDArray[np.integer]) -> U8Array:
    """Seven signs of eight weights as eight: the number of minus signs is even."""
    eight: U8Array = _EIGHT[seven]
    return eight


def pack_sevens(signs: U8Array, scales: U8Array) -> U32Array:
    """Signs `(S, 32)` and scales `(S, 8)` in words `(S, 8)`: seven signs four times, a scale."""
    sevens = (signs & 127).astype(np.uint32).reshape(-1, 8, 4)
    words: U32Array = np.bitwise_or.reduce(np.left_shift(sevens, _SIGN_SHIFTS), axis=2)
    return words | np.left_shift(scales.astype(np.uint32), _SCALE_SHIFT)


def unpack_sevens(words: U32Array) -> tuple[U8Array, U8Array]:
    """The inverse, with all eight signs."""
    sevens = np.right_shift(words[:, :, None], _SIGN_SHIFTS) & 127
    return with_eighth(sevens).reshape(-1, 32), (words >> _SCALE_SHIFT).astype(np.uint8)


def pack_scales(scales: U8Array) -> U8Array:
    """Neighbouring scales share bytes, the even one low: `(S, n)` to `(S, n / 2)`."""
    return np.bitwise_or(scales[:, 0::2], np.left_shift(scales[:, 1::2], 4))


def unpack_scales(packed: U8Array) -> U8Array:
    return np.stack((packed & 15, packed >> 4), axis=2).reshape(len(packed), -1)


def steps(d: F16Array, scales: U8Array, factor: float) -> F32Array:
    """What the scales `(S, subs)` of IQ2 and IQ3_XXS stand for: `d * (scale + 1/2) * factor`."""
    halves = np.float32(0.5) + scales
    return d.astype(np.float32)[:, None] * halves * np.float32(factor)


def restored(
    step: F32Array, values: F32Array, name: str, numbers: NDArray[np.integer], signs: U8Array
) -> F32Array:
    """Weights `(S, 256)` of steps `(S, subs)`, points `(S, groups)` of a grid and signs `(S, 32)`.

    `values` says what the levels of that grid stand for.
    """
    magnitudes = values[grid(name).points[numbers]].reshape(*step.shape, -1)
    out: F32Array = (step[:, :, None] * magnitudes).reshape(len(step), -1)
    minus = np.unpackbits(signs, axis=1, bitorder="little").view(np.bool_)
    return np.negative(out, out=out, where=minus)
