"""Symmetric integers with a scale for 32 columns or more, which Q4_0 and Q8_0 hold exactly.

Both store an F16 scale for 32 weights: Q4_0 four bits that are less by 8, Q8_0 signed bytes. A
source's group of 32, 64 or more columns, or a whole row, becomes blocks with one and the same
scale. Whether a scale fits into F16, and whether the zero points are the middle as quantization_
config says, is seen when it is read, and anything else is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.arrays import F32Array, U8Array
from quantize.checkpoints.base import (
    Reader,
    Weight,
)
from quantize.checkpoints.layouts.affine import Affine
from quantize.errors import CheckpointError
from quantize.kernels.packing import pack_halves
from quantize.quantizers.q4_0 import LAYOUT as Q4_0_LAYOUT
from quantize.quantizers.q8_0 import LAYOUT as Q8_0_LAYOUT

_BLOCK = 32
_TYPES = {4: "Q4_0", 8: "Q8_0"}
_F16_OR_NARROWER = ("F16", "BF16")


def grid_of(bits: int, cols: int, group: int, scale: str) -> str | None:
    """The type for symmetric integers of `bits` in groups of `group` columns, if there is one."""
    aligned = cols % _BLOCK == 0 and (group % _BLOCK == 0 or group >= cols)
    return _TYPES.get(bits) if aligned and scale in _F16_OR_NARROWER else None


@dataclass(frozen=True, slots=True)
class OnGrid(Affine):
    """A weight whose `middle` is the zero point of all groups, in order of their columns."""

    middle: int = 0

    def repack_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> U8Array:
        cols = weight.shape[-1]
        if self.zero is not None and (self.zero.rows(lo, hi, read) != self.middle).any():
            raise off_grid(weight, "not all zero points are in the middle, as they are said to be")
        if self.index(weight, read) is not None:
            raise off_grid(weight, "its columns are not in order of their groups, as is said")
        levels = self.codes.rows(lo, hi, read).astype(np.int16) - np.int16(self.middle)
        scales = np.broadcast_to(self.scale.rows(lo, hi, read), (hi - lo, self.count))
        group = min(self.group, cols)
        blocks = levels.reshape(-1, _BLOCK)
        per_block = scales[:, np.arange(0, cols, _BLOCK) // group].reshape(-1)
        exact = _as_f16(weight, per_block, blocks)
        return _BLOCKS[str(weight.exact_type)](blocks, exact).reshape(hi - lo, -1)


def _as_f16(weight: Weight, scales: F32Array, blocks: NDArray[Any]) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):
        half = scales.astype(np.float16)
    # The scale of a block of zeros does not matter.
    off = (half.astype(np.float32) != scales) & blocks.any(axis=1)
    if off.any():
        raise off_grid(weight, f"F16 does not hold a scale of {scales[off][0]:.4g}")
    half[~np.isfinite(half)] = 0
    return half


def _q4_0(levels: NDArray[Any], scales: NDArray[np.float16]) -> U8Array:
    out = np.empty(len(levels), Q4_0_LAYOUT)
    out["d"] = scales
    pack_halves((levels + 8).astype(np.uint8), out["qs"])
    return out.view(np.uint8)


def _q8_0(levels: NDArray[Any], scales: NDArray[np.float16]) -> U8Array:
    out = np.empty(len(levels), Q8_0_LAYOUT)
    out["d"], out["qs"] = scales, levels
    return out.view(np.uint8)


_BLOCKS = {"Q4_0": _q4_0, "Q8_0": _q8_0}


def off_grid(weight: Weight, reason: str) -> CheckpointError:
    """The error for values that `exact_type` was promised for and does not hold."""
    return CheckpointError(
        "off-grid",
        f"the values are not those of {weight.exact_type} blocks",
        where=weight.name,
        reason=reason,
        hint="leave out --keep-quantized, and give a --type",
    )
