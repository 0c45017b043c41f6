"""Q4_0: 32 weights of 4 bits with one scale. ggml's quantize_row_q4_0_ref."""

from __future__ import annotations

import numpy as np

from quantize.quantizers.base import BlockQuantizer
from quantize.quantizers.blocks_of_32 import signed
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("d", "<f2"), ("qs", "u1", (16,))])

NMAX = 8

encode, decode = signed(NMAX)

Q4_0 = BlockQuantizer(GGML_TYPES["Q4_0"], LAYOUT, encode, decode, chunk=2048, takes_imatrix=True)
