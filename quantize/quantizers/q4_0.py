"""Q4_0: 32 weights of 4 bits with one scale. ggml's quantize_row_q4_0_ref."""

from __future__ import annotations

import numpy as np

from quantize.kernels.linear import signed_grid
from quantize.kernels.packing import pack_halves, unpack_halves
from quantize.kernels.searches import NUMPY, Searches
from quantize.kernels.weighted import signed_search
from quantize.quantizers.base import BlockQuantizer, Blocks, F32Array, Importance
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("d", "<f2"), ("qs", "u1", (16,))])

NMAX = 8


def encode(
    blocks: F32Array, out: Blocks, importance: Importance | None, searches: Searches = NUMPY
) -> None:
    if importance is None:
        out["d"], levels = signed_grid(blocks, NMAX)
    else:
        columns, energy = importance.columns, importance.row_energy()
        out["d"], levels = signed_search(blocks, NMAX, columns, energy, searches)
    pack_halves(levels, out["qs"])


def decode(blocks: Blocks) -> F32Array:
    d: F32Array = blocks["d"].astype(np.float32)
    levels = unpack_halves(blocks["qs"])
    return (levels.view(np.int8) - np.int8(NMAX)) * d[:, None]


Q4_0 = BlockQuantizer(GGML_TYPES["Q4_0"], LAYOUT, encode, decode, chunk=2048, takes_imatrix=True)
