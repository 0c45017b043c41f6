"""Levels on an even grid, without a search: Q4_0, Q5_0, Q4_1, Q5_1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.asymmetric import smallest
from quantize.kernels.packing import split_subblocks
from quantize.kernels.symmetric import largest
from quantize.kernels.workspace import scratch

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]


def signed_grid(blocks: F32Array, nmax: int) -> tuple[F32Array, U8Array]:
    """Scale `(B,)` and levels `(B, 32)` from 0 to 2 * nmax - 1: x is scale * (level - nmax), about.

    The value of largest magnitude, the first where several tie, takes level 0.
    """
    x = split_subblocks(blocks, blocks.shape[1])
    peak = largest(x) + np.float32(0)  # a peak of -0.0 counts as 0.0
    scale = peak / np.float32(-nmax)
    return scale, _levels(x, scale, np.float32(nmax + 0.5), 2 * nmax - 1)


def affine_grid(blocks: F32Array, nmax: int) -> tuple[F32Array, F32Array, U8Array]:
    """Scale and minimum `(B,)`, and levels `(B, 32)` from 0 to nmax: x is scale * level + low."""
    x = split_subblocks(blocks, blocks.shape[1])
    low = smallest(x)
    high = np.maximum.reduce(x, axis=0)
    scale = (high - low + np.float32(0)) / np.float32(nmax)  # -0.0 less 0.0 counts as 0.0
    np.subtract(x, low, out=x)
    return scale, low, _levels(x, scale, np.float32(0.5), nmax)


def _levels(x: F32Array, scale: F32Array, offset: np.float32, top: int) -> U8Array:
    """From columns, used up, to levels in rows."""
    inverse = 1 / scale
    inverse[scale == 0] = 0
    # The range of the largest values overflows, and the reciprocal of the smallest subnormals:
    # level 0 throughout then, which is what ggml's conversions give on x86.
    lost = np.flatnonzero(np.isinf(inverse) | np.isinf(scale))
    inverse[lost] = 0
    np.multiply(x, inverse, out=x)
    np.add(x, offset, out=x)
    np.clip(x, 0, top, out=x)
    whole: U8Array = scratch("whole", x.shape, np.uint8)
    np.copyto(whole, x, casting="unsafe")  # truncates
    whole[:, lost] = 0
    return whole.T
