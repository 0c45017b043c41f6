"""IQ3_S: groups of 4 weights on a grid of 512 points, 4-bit scales. ggml's quantize_iq3_s."""

from __future__ import annotations

import numpy as np

from quantize.kernels.grid_blocks import Format, Search, fit
from quantize.kernels.grid_packing import IQ3_S_VALUES, pack_scales, restored, unpack_scales
from quantize.kernels.grid_search import Again, GridSearch, search, trial_maxima
from quantize.kernels.importance import Importance
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
)
from quantize.tensors import GGML_TYPES

# The ninth bits of the points' numbers are in qh.
LAYOUT = np.dtype(
    [("d", "<f2"), ("qs", "u1", (64,)), ("qh", "u1", (8,)), ("signs", "u1", (32,)),
     ("scales", "u1", (4,))]
)  # fmt: skip

# Only a sub-block of zeros is left out.
FORMAT = Format(
    GridSearch("IQ3_S", trial_maxima(15, 0.2, 9), Again.SUB_BLOCKS, epsilon=2.0**-149),
    sub=32,
    even_signs=False,
    energy=2,
)

# ggml gives the search's scale a little more: its own measured factor.
_FACTOR = np.float32(1.033)


def encode(
    blocks: F32Array, out: Blocks, importance: Importance | None, search: Search = search
) -> None:
    fitted = fit(blocks, importance, FORMAT, search)
    out["d"] = fitted.d * _FACTOR
    out["qs"] = fitted.numbers & 255
    out["qh"] = np.packbits(fitted.numbers > 255, axis=1, bitorder="little")
    out["signs"] = fitted.signs
    out["scales"] = pack_scales(fitted.scales)
    _close_gaps(blocks, out)


def _close_gaps(blocks: F32Array, out: Blocks) -> None:
    """Where all weights of a sub-block are zero, the points and signs of later ones move up.

    ggml writes them one place early after such a sub-block, though not their ninth bits and scales,
    and reads them back in the wrong place. The same bytes are the same mistake.
    """
    empty = np.logical_not(np.any(blocks.reshape(-1, 8, 32), axis=2))
    which = np.flatnonzero(empty.any(axis=1))
    order = np.argsort(empty[which], axis=1, kind="stable")[:, :, None]
    for name, size in (("qs", 8), ("signs", 4)):
        by_sub = out[name].reshape(-1, 8, size)[which]
        out[name][which] = np.take_along_axis(by_sub, order, axis=1).reshape(-1, 8 * size)


def decode(blocks: Blocks) -> F32Array:
    ninth = np.unpackbits(blocks["qh"], axis=1, bitorder="little")
    numbers = np.bitwise_or(blocks["qs"], np.left_shift(ninth, 8, dtype=np.int32))
    odd = 2 * unpack_scales(blocks["scales"]).astype(np.float32) + np.float32(1)
    step = blocks["d"].astype(np.float32)[:, None] * odd
    return restored(step, IQ3_S_VALUES, "IQ3_S", numbers, blocks["signs"])


IQ3_S = BlockQuantizer(GGML_TYPES["IQ3_S"], LAYOUT, encode, decode, chunk=128, takes_imatrix=True)
