"""Blocks of 32 with an importance matrix, by search: Q4_0, Q5_0, Q4_1, Q5_1.

Blocks lie in rows, `(B, 32)`, and so do their importance and levels. `energy` is the mean square of
the whole row that a block comes from, `(B,)`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels import symmetric
from quantize.kernels.asymmetric import Candidates, search_levels
from quantize.kernels.importance import importance_weights
from quantize.kernels.packing import split_subblocks
from quantize.kernels.searches import Searches

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]


def signed_search(
    blocks: F32Array, nmax: int, importance: F32Array, energy: F32Array, searches: Searches
) -> tuple[F32Array, U8Array]:
    """Scale `(B,)` and levels from 0 to 2 * nmax - 1: x is about `scale * (level - nmax)`."""
    x, weights = _columns(blocks, importance, energy)
    fit = searches.signed(x, nmax, weights)
    return fit.scale, _rows(symmetric.search_levels(x, fit, nmax))


def affine_search(
    blocks: F32Array, nmax: int, importance: F32Array, energy: F32Array, searches: Searches
) -> tuple[F32Array, F32Array, U8Array]:
    """Scale and minimum `(B,)`, and levels from 0 to nmax: x is about `scale * level + low`."""
    x, weights = _columns(blocks, importance, energy)
    fit = searches.scale_min(x, weights, Candidates(nmax=nmax, start=-0.9, step=0.05, last=36))
    levels = search_levels(x, fit, nmax, np.arange(len(blocks)))
    return fit.scale, fit.low, _rows(levels)


def _columns(blocks: F32Array, importance: F32Array, energy: F32Array) -> tuple[F32Array, F32Array]:
    x = split_subblocks(blocks, blocks.shape[1])
    columns = split_subblocks(importance, blocks.shape[1], "importance")
    return x, importance_weights(x, columns, energy)


def _rows(levels: F32Array) -> U8Array:
    return levels.astype(np.uint8).T
