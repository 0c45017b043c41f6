"""Q4_1: 32 weights of 4 bits with a scale and a minimum. ggml's quantize_row_q4_1_ref."""

from __future__ import annotations

import numpy as np

from quantize.kernels.linear import affine_grid
from quantize.kernels.packing import pack_halves, unpack_halves
from quantize.kernels.searches import NUMPY, Searches
from quantize.kernels.weighted import affine_search
from quantize.quantizers.base import BlockQuantizer, Blocks, F32Array, Importance
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("d", "<f2"), ("m", "<f2"), ("qs", "u1", (16,))])

NMAX = 15


def encode(
    blocks: F32Array, out: Blocks, importance: Importance | None, searches: Searches = NUMPY
) -> None:
    if importance is None:
        out["d"], out["m"], levels = affine_grid(blocks, NMAX)
    else:
        columns, energy = importance.columns, importance.row_energy()
        out["d"], out["m"], levels = affine_search(blocks, NMAX, columns, energy, searches)
    pack_halves(levels, out["qs"])


def decode(blocks: Blocks) -> F32Array:
    d: F32Array = blocks["d"].astype(np.float32)
    low: F32Array = blocks["m"].astype(np.float32)
    levels = unpack_halves(blocks["qs"])
    return levels * d[:, None] + low[:, None]


Q4_1 = BlockQuantizer(GGML_TYPES["Q4_1"], LAYOUT, encode, decode, chunk=2048, takes_imatrix=True)
