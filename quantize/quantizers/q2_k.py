"""Q2_K: 256 weights of 2 bits, sixteen 4-bit scales and mins. ggml's quantize_row_q2_K_ref."""

from __future__ import annotations

import numpy as np

from quantize.kernels.asymmetric import Candidates
from quantize.kernels.importance import Importance
from quantize.kernels.packing import in_order, pack_pairs, unpack_pairs
from quantize.kernels.searches import NUMPY, Searches
from quantize.kernels.superblock import (
    Search,
    fit_superblocks,
    magnitude_weights,
    restored,
    stored_levels,
)
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
    U8Array,
)
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("scales", "u1", (16,)), ("qs", "u1", (64,)), ("d", "<f2"), ("dmin", "<f2")])

SEARCH = Search(
    sub=16,
    top=15,
    candidates=Candidates(nmax=3, start=-0.5, step=0.1, last=15, absolute=True),
    weights=magnitude_weights,
    weighted=Candidates(nmax=3, start=-0.9, step=0.05, last=36),
    energy_factor=1,
)


def encode(
    blocks: F32Array, out: Blocks, importance: Importance | None, searches: Searches = NUMPY
) -> None:
    fitted = fit_superblocks(blocks, SEARCH, importance, searches)
    out["d"], out["dmin"] = fitted.d, fitted.dmin
    out["scales"] = np.bitwise_or(fitted.scales, np.left_shift(fitted.mins, 4)).T
    out["qs"] = pack_pairs(in_order(stored_levels(fitted, *_scales(out))))


def _scales(blocks: Blocks) -> tuple[U8Array, U8Array]:
    return np.bitwise_and(blocks["scales"], 15), np.right_shift(blocks["scales"], 4)


def decode(blocks: Blocks) -> F32Array:
    levels = unpack_pairs(blocks["qs"]).reshape(-1, 16, SEARCH.sub)
    return restored(blocks["d"], blocks["dmin"], *_scales(blocks), levels)


Q2_K = BlockQuantizer(GGML_TYPES["Q2_K"], LAYOUT, encode, decode, chunk=1024, takes_imatrix=True)
