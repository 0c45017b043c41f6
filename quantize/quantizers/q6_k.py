"""Q6_K: 256 weights of 6 bits, sixteen signed 8-bit scales. ggml's quantize_row_q6_K_ref."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.importance import Importance
from quantize.kernels.packing import split_subblocks
from quantize.kernels.rounding import nearest_int, round_in_place
from quantize.kernels.searches import NUMPY, Searches
from quantize.kernels.symmetric import NOTHING, largest, search_levels
from quantize.kernels.workspace import scratch
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
    U8Array,
)
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype(
    [("ql", "u1", (128,)), ("qh", "u1", (64,)), ("scales", "i1", (16,)), ("d", "<f2")]
)

SUB = 16


def encode(
    blocks: F32Array, out: Blocks, importance: Importance | None, searches: Searches = NUMPY
) -> None:
    x = split_subblocks(blocks, SUB)
    weights = None
    if importance is not None:
        weights = split_subblocks(importance.columns, SUB, "weights")
    fit = searches.signed(x, 32, weights)
    by_superblock, empty = store_scales(fit.scale.reshape(-1, len(blocks)), out)
    step = by_superblock.reshape(-1)
    kept = np.flatnonzero(step == 0)
    step[kept] = 1
    levels = np.divide(x, step, out=scratch("levels", x.shape))
    round_in_place(levels)
    np.clip(levels, -32, 31, out=levels)
    np.add(levels, 32, out=levels)
    if kept.size:
        levels[:, kept] = search_levels(x[:, kept], fit.take(kept), 32)
    whole: U8Array = scratch("whole", (SUB, *by_superblock.shape), np.uint8)
    np.copyto(whole.reshape(x.shape), levels, casting="unsafe")

    pack_levels(whole, out)
    out[empty] = np.zeros((), LAYOUT)


def store_scales(scales: F32Array, out: Blocks) -> tuple[F32Array, NDArray[np.bool_]]:
    """Store the scales of sub-blocks, `(16, S)`, as shares of the largest.

    Returns the steps as they will be read back, `(16, S)`, and which superblocks are all zero.
    """
    scales[np.isnan(scales)] = 0  # sums beyond float32: ggml leaves such a sub-block out
    top = largest(scales)
    inverse = np.float32(-128) / top
    rounded = np.minimum(nearest_int(inverse * scales), 127).astype(np.int8)
    out["scales"] = rounded.T
    out["d"] = np.divide(np.float32(1), inverse)
    return out["d"].astype(np.float32) * rounded, np.abs(top) < NOTHING


def pack_levels(levels: U8Array, out: Blocks) -> None:
    """Low four bits in `ql`, high two in `qh`, each half of the superblock on its own.

    Of the four runs of 32 in a half, the first and third share bytes of `ql`, then the second and
    fourth; all four share the bytes of `qh`.
    """
    runs = _runs(levels)
    low = runs & 15
    out["ql"].reshape(-1, 2, 2, 32)[...] = low[:, :, :2] | low[:, :, 2:] << 4
    high = runs >> 4
    out["qh"].reshape(-1, 2, 32)[...] = (
        high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6
    )


def _runs(levels: U8Array) -> U8Array:
    """`(16, 16, S)` in the order of elements: `(S, half, run, 32)`."""
    return np.ascontiguousarray(levels.transpose(2, 1, 0)).reshape(-1, 2, 4, 32)


def decode(blocks: Blocks) -> F32Array:
    ql: NDArray[np.uint8] = blocks["ql"].reshape(-1, 2, 1, 2, 32)
    low = np.concatenate((ql & 15, ql >> 4), axis=2)
    shifts = np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    high = blocks["qh"].reshape(-1, 2, 1, 32) >> shifts & 3
    levels = (low.reshape(-1, 2, 4, 32) | high << 4).reshape(-1, 16, SUB)
    d: F32Array = blocks["d"].astype(np.float32)
    step = d[:, None] * blocks["scales"]
    out: F32Array = step[:, :, None] * (levels.view(np.int8) - np.int8(32))
    return out.reshape(-1, 256)


Q6_K = BlockQuantizer(GGML_TYPES["Q6_K"], LAYOUT, encode, decode, chunk=1024, takes_imatrix=True)
