"""Q4_K: 256 weights of 4 bits, eight 6-bit scales and mins. ggml's quantize_row_q4_K_ref."""

from __future__ import annotations

import numpy as np

from quantize.kernels.asymmetric import Candidates
from quantize.kernels.packing import pack_nibbles, pack_scales, unpack_nibbles, unpack_scales
from quantize.kernels.searches import NUMPY, Searches
from quantize.kernels.superblock import (
    Search,
    deviation_weights,
    fit_superblocks,
    restored,
    stored_levels,
)
from quantize.quantizers.base import BlockQuantizer, Blocks, F32Array, Importance
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", (12,)), ("qs", "u1", (128,))])

SEARCH = Search(
    sub=32,
    top=63,
    candidates=Candidates(nmax=15, start=-1.0, step=0.1, last=20),
    weights=deviation_weights,
    weighted=Candidates(nmax=15, start=-0.9, step=0.05, last=36),
    energy_factor=2,
)


def encode(
    blocks: F32Array, out: Blocks, importance: Importance | None, searches: Searches = NUMPY
) -> None:
    columns = None if importance is None else importance.columns
    fitted = fit_superblocks(blocks, SEARCH, columns, searches)
    # Only a wrapped negative is above 63. ggml caps it, but not with an importance matrix.
    cap = np.uint8(63 if importance is None else 255)
    out["d"], out["dmin"] = fitted.d, fitted.dmin
    pack_scales(np.minimum(fitted.scales, cap), np.minimum(fitted.mins, cap), out["scales"])
    pack_nibbles(stored_levels(fitted, *unpack_scales(out["scales"])), out["qs"])


def decode(blocks: Blocks) -> F32Array:
    levels = unpack_nibbles(blocks["qs"], SEARCH.sub)
    return restored(blocks["d"], blocks["dmin"], *unpack_scales(blocks["scales"]), levels)


Q4_K = BlockQuantizer(GGML_TYPES["Q4_K"], LAYOUT, encode, decode, chunk=1024, takes_imatrix=True)
