"""MXFP4: 32 weights of 4-bit floating point, power-of-two scale. ggml's quantize_row_mxfp4_ref."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.codebook import FP4_VALUES, fp4_codes
from quantize.kernels.importance import Importance
from quantize.kernels.packing import pack_halves, unpack_halves
from quantize.kernels.workspace import scratch
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
    U8Array,
)
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("e", "u1"), ("qs", "u1", (16,))])


def encode(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    # Magnitudes order as the integers that their bits spell, and integers reduce faster in rows.
    magnitudes = np.abs(blocks, out=scratch("magnitudes", blocks.shape))
    peak = np.maximum.reduce(magnitudes.view(np.int32), axis=1).view(np.float32)
    out["e"] = exponents(peak)
    pack_halves(fp4_codes(blocks, half_scale(out["e"])), out["qs"])


def exponents(peak: F32Array) -> U8Array:
    """Stored exponents of blocks whose largest magnitudes are `(B,)`."""
    # The logarithm is rounded to float32 before it is cut to a whole number, as C's log2f does.
    exponent = np.floor(np.log2(peak.astype(np.float64)).astype(np.float32)) - 2 + 127
    exponent[peak == 0] = 0
    return exponent.astype(np.int32).astype(np.uint8)  # wraps below the smallest scale


def half_scale(exponent: U8Array) -> F32Array:
    """Half of 2**(e - 127): the codes' values are stored doubled."""
    normal = np.left_shift(np.maximum(exponent, 2).astype(np.uint32) - np.uint32(1), 23)
    subnormal = np.left_shift(np.uint32(1 << 21), np.minimum(exponent, 1).astype(np.uint32))
    bits: NDArray[np.uint32] = np.where(exponent < 2, subnormal, normal)
    return bits.view(np.float32)


def decode(blocks: Blocks) -> F32Array:
    return FP4_VALUES[unpack_halves(blocks["qs"])] * half_scale(blocks["e"])[:, None]


MXFP4 = BlockQuantizer(GGML_TYPES["MXFP4"], LAYOUT, encode, decode, chunk=2048)
