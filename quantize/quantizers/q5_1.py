"""Q5_1: 32 weights of 5 bits with a scale and a minimum. ggml's quantize_row_q5_1_ref."""

from __future__ import annotations

import numpy as np

from quantize.quantizers.base import BlockQuantizer
from quantize.quantizers.blocks_of_32 import affine
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("d", "<f2"), ("m", "<f2"), ("qh", "u1", (4,)), ("qs", "u1", (16,))])

NMAX = 31

encode, decode = affine(NMAX)

Q5_1 = BlockQuantizer(GGML_TYPES["Q5_1"], LAYOUT, encode, decode, chunk=2048, takes_imatrix=True)
