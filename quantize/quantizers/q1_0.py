"""Q1_0: the signs of 128 weights and their mean magnitude. ggml's quantize_row_q1_0_ref."""

from __future__ import annotations

import numpy as np

from quantize.kernels.importance import Importance
from quantize.kernels.packing import split_subblocks
from quantize.kernels.rounding import ordered_sum
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
)
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("d", "<f2"), ("qs", "u1", (16,))])

SIZE = 128


def encode(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    x = split_subblocks(blocks, SIZE)
    out["d"] = ordered_sum(np.abs(x, out=x)) / np.float32(SIZE)
    out["qs"] = np.packbits(blocks >= 0, axis=1, bitorder="little")


def decode(blocks: Blocks) -> F32Array:
    d: F32Array = blocks["d"].astype(np.float32)[:, None]
    positive = np.unpackbits(blocks["qs"], axis=1, bitorder="little").view(np.bool_)
    return np.where(positive, d, -d)


Q1_0 = BlockQuantizer(GGML_TYPES["Q1_0"], LAYOUT, encode, decode, chunk=512)
