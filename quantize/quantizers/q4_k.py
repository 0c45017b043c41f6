"""Q4_K: 256 weights of 4 bits, eight 6-bit scales and mins. ggml's quantize_row_q4_K_ref."""

from __future__ import annotations

import numpy as np

from quantize.kernels.asymmetric import Candidates
from quantize.kernels.packing import pack_nibbles, pack_scales, unpack_nibbles
from quantize.kernels.sixbit import SUB, decode_sixbit, encode_sixbit
from quantize.quantizers.base import BlockQuantizer, Blocks, F32Array, Importance
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("d", "<f2"), ("dmin", "<f2"), ("scales", "u1", (12,)), ("qs", "u1", (128,))])

CANDIDATES = Candidates(nmax=15, start=-1.0, step=0.1, last=20)


def encode(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    packed = encode_sixbit(blocks, CANDIDATES)
    out["d"], out["dmin"] = packed.d, packed.dmin
    pack_scales(packed.scales, packed.mins, out["scales"])
    pack_nibbles(packed.levels, out["qs"])


def decode(blocks: Blocks) -> F32Array:
    levels = unpack_nibbles(blocks["qs"], SUB)
    return decode_sixbit(blocks["d"], blocks["dmin"], blocks["scales"], levels)


Q4_K = BlockQuantizer(GGML_TYPES["Q4_K"], LAYOUT, encode, decode, chunk=1024)
