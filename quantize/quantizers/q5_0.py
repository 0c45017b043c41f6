"""Q5_0: 32 weights of 5 bits with one scale. ggml's quantize_row_q5_0_ref."""

from __future__ import annotations

import numpy as np

from quantize.quantizers.base import BlockQuantizer
from quantize.quantizers.blocks_of_32 import signed
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("d", "<f2"), ("qh", "u1", (4,)), ("qs", "u1", (16,))])

NMAX = 16

encode, decode = signed(NMAX)

Q5_0 = BlockQuantizer(GGML_TYPES["Q5_0"], LAYOUT, encode, decode, chunk=2048, takes_imatrix=True)
