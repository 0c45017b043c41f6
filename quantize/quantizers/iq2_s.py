"""IQ2_S: groups of 8 weights on a grid of 1024 points, 4-bit scales. ggml's quantize_iq2_s."""

from __future__ import annotations

import numpy as np

from quantize.kernels.grid_blocks import Format, Search, fit
from quantize.kernels.grid_packing import IQ2_VALUES, pack_scales, restored, steps, unpack_scales
from quantize.kernels.grid_search import Again, GridSearch, search, trial_maxima
from quantize.kernels.importance import Importance
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
)
from quantize.tensors import GGML_TYPES

# The high bits of the points' numbers are four to a byte in qh.
LAYOUT = np.dtype(
    [("d", "<f2"), ("qs", "u1", (32,)), ("signs", "u1", (32,)), ("qh", "u1", (8,)),
     ("scales", "u1", (8,))]
)  # fmt: skip

FORMAT = Format(
    GridSearch("IQ2_S", trial_maxima(5, 0.1, 9), Again.MISSING, epsilon=1e-8),
    sub=16,
    even_signs=False,
    energy=2,
    alone=0.25,
)

_PAIRS = np.arange(0, 8, 2, dtype=np.uint8)
# ggml gives the search's scale a little less: its own measured factor.
_FACTOR = np.float32(0.9875)


def encode(
    blocks: F32Array, out: Blocks, importance: Importance | None, search: Search = search
) -> None:
    fitted = fit(blocks, importance, FORMAT, search)
    out["d"] = fitted.d * _FACTOR
    out["qs"] = fitted.numbers & 255
    high = (fitted.numbers >> 8).astype(np.uint8).reshape(-1, 8, 4)
    out["qh"] = np.bitwise_or.reduce(np.left_shift(high, _PAIRS), axis=2)
    out["signs"] = fitted.signs
    out["scales"] = pack_scales(fitted.scales)


def decode(blocks: Blocks) -> F32Array:
    high = np.right_shift(blocks["qh"][:, :, None], _PAIRS).reshape(-1, 32) & 3
    numbers = blocks["qs"] | np.left_shift(high, 8, dtype=np.int32)
    step = steps(blocks["d"], unpack_scales(blocks["scales"]), 0.25)
    return restored(step, IQ2_VALUES, "IQ2_S", numbers, blocks["signs"])


IQ2_S = BlockQuantizer(GGML_TYPES["IQ2_S"], LAYOUT, encode, decode, chunk=128, takes_imatrix=True)
