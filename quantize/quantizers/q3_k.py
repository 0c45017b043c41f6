"""Q3_K: 256 weights of 3 bits, sixteen signed 6-bit scales. ggml's quantize_row_q3_K_ref."""

from __future__ import annotations

import numpy as np

from quantize.kernels.importance import Importance, energy_of, importance_weights
from quantize.kernels.packing import in_order, pack_pairs, split_subblocks, unpack_pairs
from quantize.kernels.rounding import nearest_int, ordered_sum, round_in_place
from quantize.kernels.searches import NUMPY, Searches
from quantize.kernels.symmetric import largest, search_levels
from quantize.kernels.workspace import scratch
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
    U8Array,
)
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype(
    [("hmask", "u1", (32,)), ("qs", "u1", (64,)), ("scales", "u1", (12,)), ("d", "<f2")]
)

SUB = 16
_EIGHT = np.arange(8, dtype=np.uint8)[:, None]
_FOUR = np.arange(0, 8, 2, dtype=np.uint8)[:, None]


def encode(
    blocks: F32Array, out: Blocks, importance: Importance | None, searches: Searches = NUMPY
) -> None:
    x = split_subblocks(blocks, SUB)
    if importance is None:
        scale, kept = searches.refined(x, 4)
        d, scales = _share_of_largest(_by_superblock(scale))
    else:
        energy = np.tile(2 * energy_of(x, len(blocks)), 16)
        columns = split_subblocks(importance.columns, SUB, "importance")
        weights = importance_weights(x, columns, energy)
        fit = searches.signed(x, 4, weights)
        kept = search_levels(x, fit, 4).astype(np.uint8)
        sub_scales, sub_weights = _by_superblock(fit.scale), ordered_sum(weights).reshape(16, -1)
        of_scales = searches.signed(sub_scales, 32, sub_weights)
        d, scales = of_scales.scale, search_levels(sub_scales, of_scales, 32)
    out["d"] = d
    out["scales"] = pack_scales(scales.astype(np.uint8))

    step = (out["d"].astype(np.float32) * (scales - np.float32(32))).reshape(-1)
    same = np.flatnonzero(step == 0)
    step[same] = 1
    levels = np.divide(x, step, out=scratch("levels", x.shape))
    round_in_place(levels)
    np.clip(levels, -4, 3, out=levels)
    np.add(levels, 4, out=levels)
    levels[:, same] = kept[:, same]
    ordered = in_order(levels.astype(np.uint8).reshape(SUB, 16, -1))
    out["qs"] = pack_pairs(np.bitwise_and(ordered, 3))
    planes = np.right_shift(ordered, 2).reshape(-1, 8, 32)
    out["hmask"] = np.bitwise_or.reduce(np.left_shift(planes, _EIGHT), axis=1)


def _by_superblock(scale: F32Array) -> F32Array:
    scale[np.isnan(scale)] = 0  # sums beyond float32: ggml leaves such a sub-block out
    return scale.reshape(16, -1)


def _share_of_largest(values: F32Array) -> tuple[F32Array, F32Array]:
    """Levels `(16, S)` from 0 to 63, 32 being zero, with the largest scale at level 0."""
    top = largest(values)
    inverse = np.float32(-32) / top
    signed = nearest_int(inverse * values).astype(np.int8)
    levels = np.clip(signed, -32, 31).astype(np.float32) + np.float32(32)
    d: F32Array = np.divide(np.float32(1), inverse)
    d[top == 0] = 0
    levels[:, top == 0] = 0
    return d, levels


def pack_scales(scales: U8Array) -> U8Array:
    """Sixteen levels `(16, S)` as `(S, 12)`: low halves of j and j + 8, then four high pairs."""
    low = np.bitwise_or(scales[:8] & 15, np.left_shift(scales[8:], 4))
    pairs = np.right_shift(scales, 4).reshape(4, 4, -1)
    high = np.bitwise_or.reduce(np.left_shift(pairs, _FOUR[:, :, None]), axis=0)
    packed = np.empty((scales.shape[1], 12), np.uint8)
    packed[:, :8], packed[:, 8:] = low.T, high.T
    return packed


def unpack_scales(packed: U8Array) -> U8Array:
    low = np.concatenate((packed[:, :8] & 15, packed[:, :8] >> 4), axis=1)
    pairs = np.right_shift(packed[:, None, 8:], _FOUR) & 3
    levels: U8Array = low | np.left_shift(pairs, 4).reshape(-1, 16)
    return levels


def decode(blocks: Blocks) -> F32Array:
    high = np.right_shift(blocks["hmask"][:, None, :], _EIGHT) & 1
    levels = unpack_pairs(blocks["qs"]) | np.left_shift(high, 2).reshape(-1, 256)
    step = blocks["d"].astype(np.float32)[:, None] * (
        unpack_scales(blocks["scales"]).astype(np.float32) - np.float32(32)
    )
    signed = levels.astype(np.float32).reshape(-1, 16, SUB) - np.float32(4)
    out: F32Array = step[:, :, None] * signed
    return out.reshape(-1, 256)


Q3_K = BlockQuantizer(GGML_TYPES["Q3_K"], LAYOUT, encode, decode, chunk=1024, takes_imatrix=True)
