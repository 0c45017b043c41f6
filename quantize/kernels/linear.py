"""Levels on an even grid, without a search: Q4_0, Q5_0, Q4_1, Q5_1.

Blocks lie in rows here, `(B, 32)`: nothing is summed, so the order of elements is free.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.workspace import scratch

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]


def signed_grid(blocks: F32Array, nmax: int) -> tuple[F32Array, U8Array]:
    """Scale `(B,)` and levels from 0 to 2 * nmax - 1: x is about `scale * (level - nmax)`.

    The value of largest magnitude, the first where several tie, takes level 0.
    """
    magnitude = np.abs(blocks, out=scratch("magnitude", blocks.shape))
    # Magnitudes order as the integers that their bits spell, and integers reduce faster in rows.
    first = np.argmax(magnitude.view(np.int32), axis=1)
    peak = blocks[np.arange(len(blocks)), first] + np.float32(0)  # a peak of -0.0 counts as 0.0
    scale = peak / np.float32(-nmax)
    return scale, _levels(blocks, scale, np.float32(nmax + 0.5), 2 * nmax - 1)


def affine_grid(blocks: F32Array, nmax: int) -> tuple[F32Array, F32Array, U8Array]:
    """Scale and minimum `(B,)`, and levels from 0 to nmax: x is about `scale * level + low`."""
    index = np.arange(len(blocks))
    # By position, so that of zeros with both signs the first one is taken.
    low = blocks[index, np.argmin(blocks, axis=1)]
    high = np.maximum.reduce(blocks, axis=1)
    scale = (high - low + np.float32(0)) / np.float32(nmax)  # -0.0 less 0.0 counts as 0.0
    shifted = np.subtract(blocks, low[:, None], out=scratch("shifted", blocks.shape))
    return scale, low, _levels(shifted, scale, np.float32(0.5), nmax)


def _levels(values: F32Array, scale: F32Array, offset: np.float32, top: int) -> U8Array:
    inverse = 1 / scale
    inverse[scale == 0] = 0
    # The range of the largest values overflows, and the reciprocal of the smallest subnormals:
    # level 0 throughout then, which is what ggml's conversions give on x86.
    lost = np.isinf(inverse) | np.isinf(scale)
    inverse[lost] = 0
    levels = np.multiply(values, inverse[:, None], out=scratch("levels", values.shape))
    np.add(levels, offset, out=levels)
    whole: U8Array = scratch("whole", values.shape, np.uint8)
    np.copyto(whole, levels, casting="unsafe")  # truncates
    np.minimum(whole, np.uint8(top), out=whole)
    whole[lost] = 0
    return whole
