"""IQ4_XS: 256 weights on the grid of IQ4_NL, eight signed 6-bit scales. ggml's quantize_iq4_xs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.codebook import IQ4_VALUES, iq4_codes
from quantize.kernels.importance import Importance, energy_of, importance_weights
from quantize.kernels.packing import in_order, pack_halves, split_subblocks, unpack_halves
from quantize.kernels.rounding import nearest_int
from quantize.kernels.searches import NUMPY, Searches
from quantize.kernels.symmetric import largest
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
)
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype(
    [("d", "<f2"), ("scales_h", "<u2"), ("scales_l", "u1", (4,)), ("qs", "u1", (128,))]
)

SUB = 32
_HIGH_SHIFTS = np.arange(0, 16, 2, dtype=np.uint16)


def encode(
    blocks: F32Array, out: Blocks, importance: Importance | None, searches: Searches = NUMPY
) -> None:
    x = split_subblocks(blocks, SUB)
    if importance is None:
        weights = x * x
    else:
        columns = split_subblocks(importance.columns, SUB, "importance")
        energy = np.tile(2 * energy_of(x, len(blocks)), 8)
        weights = importance_weights(x, columns, energy)
    scales = searches.iq4(x, weights).reshape(8, -1)
    scales[np.isnan(scales)] = 0  # sums beyond float32: ggml leaves such a sub-block out
    d = -largest(scales) / np.float32(32)
    levels = np.clip(nearest_int(_reciprocal(d) * scales), -32, 31)
    # The levels of the weights are rounded with d before it becomes float16.
    inverse = _reciprocal(d * levels.astype(np.float32)).reshape(-1)
    codes = in_order(iq4_codes(x, inverse).reshape(SUB, 8, -1))

    out["d"] = d
    store_levels(out, levels.T)
    packed = np.empty((codes.size // SUB, 16), np.uint8)
    pack_halves(codes.reshape(-1, SUB), packed)
    out["qs"] = packed.reshape(-1, 128)


def store_levels(out: Blocks, levels: NDArray[np.integer[Any]]) -> None:
    """Fill in the scales of sub-blocks, `(S, 8)` from -32 to 31."""
    stored = (levels + 32).astype(np.uint16)
    low, high = (stored & 15).astype(np.uint8), stored >> 4
    out["scales_l"] = low[:, 0::2] | np.left_shift(low[:, 1::2], 4)
    out["scales_h"] = np.bitwise_or.reduce(np.left_shift(high, _HIGH_SHIFTS), axis=1)


def scale_levels(blocks: Blocks) -> NDArray[np.int32]:
    """The inverse: scales of sub-blocks, `(S, 8)` from -32 to 31."""
    both = np.stack((blocks["scales_l"] & 15, blocks["scales_l"] >> 4), axis=2)
    high = np.right_shift(blocks["scales_h"][:, None], _HIGH_SHIFTS) & 3
    levels = both.reshape(-1, 8) | np.left_shift(high, 4)
    signed: NDArray[np.int32] = levels.astype(np.int32) - np.int32(32)
    return signed


def _reciprocal(values: F32Array) -> F32Array:
    result: F32Array = np.divide(np.float32(1), values)
    result[values == 0] = 0
    return result


def decode(blocks: Blocks) -> F32Array:
    step = blocks["d"].astype(np.float32)[:, None] * scale_levels(blocks).astype(np.float32)
    values = IQ4_VALUES[unpack_halves(blocks["qs"].reshape(-1, 16))].reshape(-1, 8, SUB)
    out: F32Array = step[:, :, None] * values
    return out.reshape(-1, 256)


IQ4_XS = BlockQuantizer(GGML_TYPES["IQ4_XS"], LAYOUT, encode, decode, chunk=512, takes_imatrix=True)
