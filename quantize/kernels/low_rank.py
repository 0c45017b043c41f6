"""Adding a product of two thin matrices to a large one, with the same bits on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32Array = NDArray[np.float32]

_PIECE = 1 << 14  # elements: three arrays of 128 KiB


def add_low_rank(values: F32Array, left: F32Array, right: F32Array, scale: float) -> None:
    """Make `values` (n, cols) values + scale * left @ right, (n, r) and (r, cols), in place.

    A BLAS orders its sums by the number of rows and by the machine. Here they are taken in order
    and in float64, and rounded once, so neither a row's neighbours nor the machine can be seen in
    the result.
    """
    n, cols = values.shape
    step = max(1, _PIECE // max(cols, 1))
    term = np.empty((step, cols), np.float64)
    for lo in range(0, n, step):
        piece = values[lo : lo + step]
        thin = left[lo : lo + step].astype(np.float64)
        total = np.zeros(piece.shape, np.float64)
        for rank, row in enumerate(right):
            np.multiply(thin[:, rank, None], row, out=term[: len(piece)])
            total += term[: len(piece)]
        total *= scale
        total += piece
        piece[...] = total


def row_norms(values: F32Array) -> F32Array:
    """The Euclidean length of each row, (n, 1), summed in float64."""
    squares = np.square(values, dtype=np.float64)
    norms: F32Array = np.sqrt(squares.sum(axis=1, keepdims=True)).astype(np.float32)
    return norms
