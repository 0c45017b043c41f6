"""IQ4_NL: 32 weights of 4 bits on an uneven grid with one scale. ggml's quantize_iq4_nl."""

from __future__ import annotations

import numpy as np

from quantize.kernels.codebook import IQ4_VALUES, iq4_codes
from quantize.kernels.importance import Importance, energy_of, importance_weights
from quantize.kernels.packing import pack_halves, split_subblocks, unpack_halves
from quantize.kernels.searches import NUMPY, Searches
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
)
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("d", "<f2"), ("qs", "u1", (16,))])


def encode(
    blocks: F32Array, out: Blocks, importance: Importance | None, searches: Searches = NUMPY
) -> None:
    x = split_subblocks(blocks, 32)
    if importance is None:
        weights = x * x
    else:
        columns = split_subblocks(importance.columns, 32, "importance")
        weights = importance_weights(x, columns, np.float32(2) * energy_of(x, len(blocks)))
    scale = searches.iq4(x, weights)
    inverse = np.divide(np.float32(1), scale)
    inverse[scale == 0] = 0
    out["d"] = scale
    pack_halves(iq4_codes(x, inverse).T, out["qs"])


def decode(blocks: Blocks) -> F32Array:
    d: F32Array = blocks["d"].astype(np.float32)
    return d[:, None] * IQ4_VALUES[unpack_halves(blocks["qs"])]


IQ4_NL = BlockQuantizer(
    GGML_TYPES["IQ4_NL"], LAYOUT, encode, decode, chunk=4096, takes_imatrix=True
)
