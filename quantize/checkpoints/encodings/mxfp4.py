"""MXFP4 as gpt-oss stores it: blocks of 32 values of four bits, one exponent for each block.

`X_blocks` is U8 (..., rows, groups, 16), the even column of each pair in the low nibble; `X_scales`
U8 (..., rows, groups), biased powers of two. Together they are the weight `X` of shape (..., rows,
groups * 32). Everything else is stored plainly. Formats: OCP Microscaling specification 1.0 (E2M1,
E8M0); ggml-common.h, block_mxfp4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.checkpoints.base import F32Array, Reader, Weight
from quantize.checkpoints.encodings.plain import Plain
from quantize.errors import CheckpointError
from quantize.tensors import StoredTensor

U8Array = NDArray[np.uint8]

_E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
_VALUES = np.concatenate([_E2M1, -_E2M1])
_BIAS = 127
_BLOCK_NBYTES = 16  # of the codes; the scale stands elsewhere


class MXFP4:
    """Weights in pairs of `_blocks` and `_scales`; ggml's MXFP4 holds them exactly."""

    name = "mxfp4"

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._plain = Plain(config)

    def resolve(self, stored: Mapping[str, StoredTensor]) -> dict[str, Weight]:
        weights = {}
        for name, tensor in stored.items():
            base = name.removesuffix("_blocks")
            if base != name and tensor.dtype == "U8":
                weights[base] = self._pair(base, tensor, stored.get(f"{base}_scales"))
            elif not (name.endswith("_scales") and tensor.dtype == "U8"):
                weights |= self._plain.resolve({name: tensor})
        return weights

    def decode_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> F32Array:
        if weight.encoding != self.name:
            return self._plain.decode_rows(weight, lo, hi, read)
        codes, scales = self._read(weight, lo, hi, read)
        values = np.empty((*codes.shape[:2], 2 * _BLOCK_NBYTES), np.float32)
        values[..., 0::2] = _VALUES[codes & 0x0F]
        values[..., 1::2] = _VALUES[codes >> 4]
        values *= np.ldexp(np.float32(1), scales.astype(np.int32) - _BIAS)[..., None]
        return values.reshape(hi - lo, -1)

    def repack_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> U8Array:
        """Rows as blocks of ggml's MXFP4: the scale, then column j beside column j + 16."""
        codes, scales = self._read(weight, lo, hi, read)
        columns = np.empty((*codes.shape[:2], 2 * _BLOCK_NBYTES), np.uint8)
        columns[..., 0::2] = codes & 0x0F
        columns[..., 1::2] = codes >> 4
        packed = columns[..., :_BLOCK_NBYTES] | columns[..., _BLOCK_NBYTES:] << 4
        return np.concatenate([scales[..., None], packed], axis=-1).reshape(hi - lo, -1)

    def _read(self, weight: Weight, lo: int, hi: int, read: Reader) -> tuple[U8Array, U8Array]:
        blocks, scales = weight.parts
        groups = scales.shape[-1]
        nbytes = groups * _BLOCK_NBYTES
        codes = np.frombuffer(read(blocks, lo * nbytes, (hi - lo) * nbytes), np.uint8)
        exponents = np.frombuffer(read(scales, lo * groups, (hi - lo) * groups), np.uint8)
        return codes.reshape(hi - lo, groups, _BLOCK_NBYTES), exponents.reshape(hi - lo, groups)

    def _pair(self, base: str, blocks: StoredTensor, scales: StoredTensor | None) -> Weight:
        if scales is None or blocks.shape != (*scales.shape, _BLOCK_NBYTES):
            have = "none" if scales is None else f"{scales.dtype} {list(scales.shape)}"
            raise CheckpointError(
                "bad-mxfp4",
                f"the blocks are {list(blocks.shape)}, their scales {have}",
                where=f"{blocks.file}:{blocks.name}",
                reason="each block of 16 bytes needs one scale in X_scales",
                hint="download the checkpoint again",
            )
        shape = (*scales.shape[:-1], scales.shape[-1] * 2 * _BLOCK_NBYTES)
        return Weight(base, shape, "BF16", self.name, (blocks, scales), grid="MXFP4")
