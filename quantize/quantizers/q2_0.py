"""Q2_0: 64 weights of 2 bits with one scale. ggml's quantize_row_q2_0_ref."""

from __future__ import annotations

import numpy as np

from quantize.kernels.importance import Importance
from quantize.kernels.ternary import ternary_grid
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
)
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("d", "<f2"), ("qs", "u1", (16,))])

_BITS = np.arange(0, 8, 2, dtype=np.uint8)


def encode(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    """The scale is the largest magnitude, so the last of four levels, twice of it, never occurs."""
    scale, levels = ternary_grid(blocks)
    levels[(scale > 0) & np.isinf(np.float32(1) / scale)] = 0  # what ggml's conversions give on x86
    out["d"] = scale
    shifted = np.left_shift(levels.reshape(-1, 16, 4), _BITS)
    out["qs"] = np.bitwise_or.reduce(shifted, axis=2)


def decode(blocks: Blocks) -> F32Array:
    levels = np.right_shift(blocks["qs"][:, :, None], _BITS) & 3
    d: F32Array = blocks["d"].astype(np.float32)
    out: F32Array = (levels.reshape(-1, 64).astype(np.float32) - np.float32(1)) * d[:, None]
    return out


Q2_0 = BlockQuantizer(GGML_TYPES["Q2_0"], LAYOUT, encode, decode, chunk=1024)
