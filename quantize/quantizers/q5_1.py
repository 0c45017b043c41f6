"""Q5_1: 32 weights of 5 bits with a scale and a minimum. ggml's quantize_row_q5_1_ref."""

from __future__ import annotations

import numpy as np

from quantize.kernels.linear import affine_grid
from quantize.kernels.packing import pack_fifth_bits, pack_halves, unpack_fifth_bits, unpack_halves
from quantize.kernels.searches import NUMPY, Searches
from quantize.kernels.weighted import affine_search
from quantize.quantizers.base import BlockQuantizer, Blocks, F32Array, Importance
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("d", "<f2"), ("m", "<f2"), ("qh", "u1", (4,)), ("qs", "u1", (16,))])

NMAX = 31


def encode(
    blocks: F32Array, out: Blocks, importance: Importance | None, searches: Searches = NUMPY
) -> None:
    if importance is None:
        out["d"], out["m"], levels = affine_grid(blocks, NMAX)
    else:
        columns, energy = importance.columns, importance.row_energy()
        out["d"], out["m"], levels = affine_search(blocks, NMAX, columns, energy, searches)
    out["qh"] = pack_fifth_bits(levels)
    pack_halves(levels, out["qs"])


def decode(blocks: Blocks) -> F32Array:
    d: F32Array = blocks["d"].astype(np.float32)
    low: F32Array = blocks["m"].astype(np.float32)
    levels = unpack_halves(blocks["qs"]) | unpack_fifth_bits(blocks["qh"])
    return levels * d[:, None] + low[:, None]


Q5_1 = BlockQuantizer(GGML_TYPES["Q5_1"], LAYOUT, encode, decode, chunk=2048, takes_imatrix=True)
