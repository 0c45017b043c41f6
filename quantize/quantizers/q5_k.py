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
)
from quantize.kernels.sixbit import SUB, decode_sixbit, encode_sixbit
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

CANDIDATES = Candidates(nmax=31, start=-0.5, step=0.1, last=15)


def encode(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    packed = encode_sixbit(blocks, CANDIDATES)
    out["d"], out["dmin"] = packed.d, packed.dmin
    pack_scales(packed.scales, packed.mins, out["scales"])
    out["qh"] = pack_fifth_planes(packed.levels)
    pack_nibbles(packed.levels, out["qs"])


def decode(blocks: Blocks) -> F32Array:
    levels = unpack_nibbles(blocks["qs"], SUB) | unpack_fifth_planes(blocks["qh"])
    return decode_sixbit(blocks["d"], blocks["dmin"], blocks["scales"], levels)


Q5_K = BlockQuantizer(GGML_TYPES["Q5_K"], LAYOUT, encode, decode, chunk=1024)
