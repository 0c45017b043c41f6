"""TQ1_0: 256 ternary weights, five to a byte. ggml's quantize_row_tq1_0_ref."""

from __future__ import annotations

import numpy as np

from quantize.kernels.importance import Importance
from quantize.kernels.ternary import pack_trits, ternary_grid, unpack_trits
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
)
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("qs", "u1", (48,)), ("qh", "u1", (4,)), ("d", "<f2")])


def encode(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    """Five runs of 32 weights in 32 bytes, five of 16 in 16, and the last four of 4 in 4."""
    out["d"], levels = ternary_grid(blocks)
    out["qs"][:, :32] = pack_trits(levels[:, :160].reshape(-1, 5, 32))
    out["qs"][:, 32:] = pack_trits(levels[:, 160:240].reshape(-1, 5, 16))
    last = np.zeros((len(blocks), 5, 4), np.uint8)
    last[:, :4] = levels[:, 240:].reshape(-1, 4, 4)
    out["qh"] = pack_trits(last)


def decode(blocks: Blocks) -> F32Array:
    n = len(blocks)
    parts = (
        unpack_trits(blocks["qs"][:, :32]).reshape(n, -1),
        unpack_trits(blocks["qs"][:, 32:]).reshape(n, -1),
        unpack_trits(blocks["qh"])[:, :4].reshape(n, -1),
    )
    levels = np.concatenate(parts, axis=1).astype(np.float32) - np.float32(1)
    d: F32Array = blocks["d"].astype(np.float32)
    return levels * d[:, None]


TQ1_0 = BlockQuantizer(GGML_TYPES["TQ1_0"], LAYOUT, encode, decode, chunk=256)
