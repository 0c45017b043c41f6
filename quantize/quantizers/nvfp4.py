"""NVFP4: 64 weights of 4-bit floating point, four 8-bit scales. ggml's quantize_row_nvfp4_ref."""

from __future__ import annotations

import numpy as np

from quantize.kernels.codebook import FP4_VALUES, nearest_fp4
from quantize.kernels.importance import Importance
from quantize.kernels.packing import pack_halves, unpack_halves
from quantize.kernels.small_floats import E4M3_VALUES
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
    U8Array,
)
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("d", "u1", (4,)), ("qs", "u1", (32,))])

SUB = 16

# Half of what a scale is, since the values of the codes are doubled. ggml does not look at the
# sign, and of the two codes of NaN takes the first for 0.
_HALVES: F32Array = np.float32(0.5) * np.abs(E4M3_VALUES)
_HALVES[[0x7F, 0xFF]] = 0, 240

_SMALLEST_NORMAL = np.float32(2**-6)
_LARGEST, _TOO_LARGE = 0x7E, 0x78  # from 256 on, scales become 448


def encode(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    x = blocks.reshape(-1, SUB)
    peak = np.maximum.reduce(np.abs(x), axis=1)
    scales = _scales(peak / np.float32(6))
    out["d"] = scales.reshape(-1, 4)
    packed = np.empty((len(x), SUB // 2), np.uint8)
    pack_halves(nearest_fp4(x, _HALVES[scales]), packed)
    out["qs"] = packed.reshape(-1, 32)


def _scales(values: F32Array) -> U8Array:
    """Values of zero and above as E4M3, half up."""
    small = (values * np.float32(512) + np.float32(0.5)).astype(np.int32)
    # What float32 has beyond three bits of mantissa is rounded off; a carry is right as it falls.
    normal = (values.view(np.int32) + (1 << 19) >> 20) - (120 << 3)
    codes = np.where(values < _SMALLEST_NORMAL, np.minimum(small, 7), normal)
    return np.where(codes < _TOO_LARGE, codes, _LARGEST).astype(np.uint8)


def decode(blocks: Blocks) -> F32Array:
    values = FP4_VALUES[unpack_halves(blocks["qs"].reshape(-1, SUB // 2))]
    out: F32Array = values * _HALVES[blocks["d"]].reshape(-1, 1)
    return out.reshape(-1, 64)


NVFP4 = BlockQuantizer(GGML_TYPES["NVFP4"], LAYOUT, encode, decode, chunk=1024)
