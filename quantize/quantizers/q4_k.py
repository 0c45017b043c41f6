"""Q4_K: 256 weights of 4 bits, eight 6-bit scales and mins. ggml's quantize_row_q4_K_ref."""

from __future__ import annotations

import numpy as np

from quantize.kernels.asymmetric import Candidates
from quantize.kernels.superblock import Search, deviation_weights
from quantize.quantizers.base import BlockQuantizer
from quantize.quantizers.superblocks import with_mins
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

encode, decode = with_mins(SEARCH, caps_weighted=False)

Q4_K = BlockQuantizer(GGML_TYPES["Q4_K"], LAYOUT, encode, decode, chunk=1024, takes_imatrix=True)
