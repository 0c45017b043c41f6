"""TQ2_0: 256 ternary weights, four to a byte. ggml's quantize_row_tq2_0_ref."""

from __future__ import annotations

import numpy as np

from quantize.kernels.importance import Importance
from quantize.kernels.packing import pack_pairs, unpack_pairs
from quantize.kernels.ternary import ternary_grid
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
)
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("qs", "u1", (64,)), ("d", "<f2")])


def encode(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    out["d"], levels = ternary_grid(blocks)
    out["qs"] = pack_pairs(levels)


def decode(blocks: Blocks) -> F32Array:
    d: F32Array = blocks["d"].astype(np.float32)
    return (unpack_pairs(blocks["qs"]).astype(np.float32) - np.float32(1)) * d[:, None]


TQ2_0 = BlockQuantizer(GGML_TYPES["TQ2_0"], LAYOUT, encode, decode, chunk=256)
