"""Q4_1: 32 weights of 4 bits with a scale and a minimum. ggml's quantize_row_q4_1_ref."""

from __future__ import annotations

import numpy as np

from quantize.quantizers.base import BlockQuantizer
from quantize.quantizers.blocks_of_32 import affine
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("d", "<f2"), ("m", "<f2"), ("qs", "u1", (16,))])

NMAX = 15

encode, decode = affine(NMAX)

Q4_1 = BlockQuantizer(GGML_TYPES["Q4_1"], LAYOUT, encode, decode, chunk=2048, takes_imatrix=True)
