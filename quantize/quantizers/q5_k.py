"""Q5_K: 256 weights of 5 bits, eight 6-bit scales and mins. ggml's quantize_row_q5_K_ref."""

from __future__ import annotations

import numpy as np

from quantize.kernels.asymmetric import Candidates
from quantize.kernels.packing import (
    pack_fifth_planes,
    pack_nibbles,
    pack_scales,
    unpack_fifth_planes,
    unpack_nibbles,
    unpack_scales,
)
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

LAYOUT = np.dtype(
    [
        ("d", "<f2"),
        ("dmin", "<f2"),
        ("scales", "u1", (12,)),
        ("qh", "u1", (32,)),
        ("qs", "u1", (128,)),
    ]
)

SEARCH = Search(
    sub=32,
    top=63,
    candidates=Candidates(nmax=31, start=-0.5, step=0.1, last=15),
    weights=deviation_weights,
    weighted=Candidates(nmax=31, start=-0.9, step=0.05, last=36),
    energy_factor=2,
)


def encode(
    blocks: F32Array, out: Blocks, importance: Importance | None, searches: Searches = NUMPY
) -> None:
    columns = None if importance is None else importance.columns
    fitted = fit_superblocks(blocks, SEARCH, columns, searches)
    cap = np.uint8(63)  # only a wrapped negative is above
    out["d"], out["dmin"] = fitted.d, fitted.dmin
    pack_scales(np.minimum(fitted.scales, cap), np.minimum(fitted.mins, cap), out["scales"])
    levels = stored_levels(fitted, *unpack_scales(out["scales"]))
    out["qh"] = pack_fifth_planes(levels)
    pack_nibbles(levels, out["qs"])


def decode(blocks: Blocks) -> F32Array:
    levels = unpack_nibbles(blocks["qs"], SEARCH.sub) | unpack_fifth_planes(blocks["qh"])
    return restored(blocks["d"], blocks["dmin"], *unpack_scales(blocks["scales"]), levels)


Q5_K = BlockQuantizer(GGML_TYPES["Q5_K"], LAYOUT, encode, decode, chunk=1024, takes_imatrix=True)
