"""Q8_0: 32 weights of 8 bits with one scale. ggml's quantize_row_q8_0_ref."""

from __future__ import annotations

import numpy as np

from quantize.kernels.importance import Importance
from quantize.kernels.rounding import add_half_away
from quantize.kernels.workspace import scratch
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
)
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("d", "<f2"), ("qs", "i1", (32,))])


def encode(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    levels = scratch("levels", blocks.shape)
    # Magnitudes order as the integers that their bits spell, and integers reduce faster in rows.
    np.abs(blocks, out=levels)
    peak = np.maximum.reduce(levels.view(np.int32), axis=1).view(np.float32)
    d = peak / np.float32(127)
    inverse = 1 / d
    inverse[np.isinf(inverse)] = 0  # of zero and of the smallest subnormals: levels 0
    np.multiply(blocks, inverse[:, None], out=levels)
    add_half_away(levels, scratch("half", blocks.shape, np.uint32))
    out["d"] = d
    np.copyto(out["qs"], levels, casting="unsafe")  # truncates


def decode(blocks: Blocks) -> F32Array:
    d: F32Array = blocks["d"].astype(np.float32)
    return blocks["qs"] * d[:, None]


Q8_0 = BlockQuantizer(GGML_TYPES["Q8_0"], LAYOUT, encode, decode, chunk=2048)
