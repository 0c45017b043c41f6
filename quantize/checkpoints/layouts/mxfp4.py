"""MXFP4: 32 values of four bits, neighbours in a byte, and one exponent for each block.

Codes are U8 (..., rows, groups, 16) or (rows, groups * 16), the even column of each pair in the
low half; exponents U8 (..., rows, groups), biased powers of two. ggml's MXFP4 holds the same,
ordered otherwise. Formats: OCP Microscaling specification 1.0; ggml-common.h, block_mxfp4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantize.arrays import F32Array, U8Array
from quantize.checkpoints.base import (
    Reader,
    Weight,
)
from quantize.checkpoints.stored import read_bytes
from quantize.kernels.small_floats import decode_e2m1_pairs, decode_e8m0
from quantize.tensors import (
    as_rows,
)

BLOCK = 32
BLOCK_NBYTES = BLOCK // 2  # of the codes; the scale is elsewhere


@dataclass(frozen=True, slots=True)
class MXFP4Layout:
    """The parts are the codes and the exponents."""

    name: str

    def decode_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> F32Array:
        codes, exponents = self._read(weight, lo, hi, read)
        values = decode_e2m1_pairs(codes.reshape(-1, BLOCK_NBYTES))
        values *= decode_e8m0(exponents).reshape(-1, 1)
        return values.reshape(hi - lo, as_rows(weight.shape)[1])

    def repack_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> U8Array:
        """Rows as blocks of ggml's MXFP4: the scale, then column j with column j + 16."""
        codes, exponents = self._read(weight, lo, hi, read)
        columns = np.empty((*codes.shape[:2], BLOCK), np.uint8)
        columns[..., 0::2] = codes & 15
        columns[..., 1::2] = codes >> 4
        packed = columns[..., :BLOCK_NBYTES] | columns[..., BLOCK_NBYTES:] << 4
        return np.concatenate([exponents[..., None], packed], axis=-1).reshape(hi - lo, -1)

    def _read(self, weight: Weight, lo: int, hi: int, read: Reader) -> tuple[U8Array, U8Array]:
        blocks, scales = weight.parts
        groups = as_rows(weight.shape)[1] // BLOCK
        nbytes = groups * BLOCK_NBYTES
        codes = read_bytes(blocks, lo * nbytes, hi * nbytes, read)
        exponents = read_bytes(scales, lo * groups, hi * groups, read)
        return codes.reshape(hi - lo, groups, BLOCK_NBYTES), exponents.reshape(hi - lo, groups)
