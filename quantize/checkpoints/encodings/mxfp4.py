"""MXFP4 as gpt-oss stores it.

`X_blocks` U8 (..., rows, groups, 16) and `X_scales` U8 (..., rows, groups) are the weight `X` of
shape (..., rows, groups * 32); everything else is stored plainly. llama.cpp's
converter moves these blocks whatever type is asked for, and so do we.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.checkpoints.base import Reader, Weight
from quantize.checkpoints.layouts.mxfp4 import BLOCK, BLOCK_NBYTES, MXFP4Layout
from quantize.checkpoints.layouts.plain import plain_weight
from quantize.errors import CheckpointError
from quantize.tensors import StoredTensor


class MXFP4:
    """Weights in pairs of `_blocks` and `_scales`; ggml's MXFP4 holds them exactly."""

    name = "mxfp4"
    nearest = "MXFP4_MOE"
    accepts = "E2M1 in blocks of 32 with E8M0 scales, as gpt-oss has its experts"

    def __init__(self, config: Mapping[str, Any]) -> None:
        """`config` names modules that are not quantized; the tensors say the same."""

    def resolve(self, stored: Mapping[str, StoredTensor], read: Reader) -> dict[str, Weight]:
        weights = {}
        for name, tensor in stored.items():
            base = name.removesuffix("_blocks")
            if base != name and tensor.dtype == "U8":
                weights[base] = self._pair(base, tensor, stored.get(f"{base}_scales"))
            elif not (name.endswith("_scales") and tensor.dtype == "U8"):
                weights[name] = plain_weight(tensor)
        return weights

    def _pair(self, base: str, blocks: StoredTensor, scales: StoredTensor | None) -> Weight:
        if scales is None or blocks.shape != (*scales.shape, BLOCK_NBYTES):
            have = "none" if scales is None else f"{scales.dtype} {list(scales.shape)}"
            raise CheckpointError(
                "bad-mxfp4",
                f"the blocks are {list(blocks.shape)}, their scales {have}",
                where=f"{blocks.file}:{blocks.name}",
                reason="each block of 16 bytes needs one scale in X_scales",
                hint="download the checkpoint again",
            )
        shape = (*scales.shape[:-1], scales.shape[-1] * BLOCK)
        layout = MXFP4Layout(self.name)
        return Weight(
            base, shape, "BF16", layout, (blocks, scales), exact_type="MXFP4", always_kept=True
        )
