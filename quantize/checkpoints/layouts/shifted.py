"""Weights that are scale * code + bias, in groups of columns, which Q4_1 and Q5_1 hold exactly.

Both operations are float32, each rounded once, as ggml computes its Q4_1 and Q5_1. These store
scale and minimum as F16 for 32 weights: a group of 32, 64 or more columns becomes blocks with the
same two numbers. Whether F16 holds them is seen when they are read, and anything else is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantize.arrays import F32Array, U8Array
from quantize.checkpoints.base import (
    Reader,
    Weight,
)
from quantize.checkpoints.layouts.affine import for_groups
from quantize.checkpoints.layouts.grid import off_grid
from quantize.checkpoints.layouts.matrices import Matrix
from quantize.kernels.packing import pack_fifth_bits, pack_halves
from quantize.quantizers.q4_1 import LAYOUT as Q4_1_LAYOUT
from quantize.quantizers.q5_1 import LAYOUT as Q5_1_LAYOUT

_BLOCK = 32
_LAYOUTS = {"Q4_1": Q4_1_LAYOUT, "Q5_1": Q5_1_LAYOUT}
# The smallest type whose levels hold codes of so many bits.
_TYPES = {2: "Q4_1", 3: "Q4_1", 4: "Q4_1", 5: "Q5_1"}
_F16_OR_NARROWER = ("F16", "BF16")


def shifted_grid(bits: int, group: int, scale: str) -> str | None:
    """The type for codes of `bits` in groups of `group` columns, if there is one."""
    return _TYPES.get(bits) if group % _BLOCK == 0 and scale in _F16_OR_NARROWER else None


@dataclass(frozen=True, slots=True)
class Shifted:
    """A weight of codes (rows, cols), scales and biases (rows, cols / group)."""

    name: str
    codes: Matrix
    scale: Matrix
    bias: Matrix
    group: int

    def decode_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> F32Array:
        if hi <= lo:
            return np.empty((0, weight.shape[-1]), np.float32)
        values = np.ascontiguousarray(self.codes.rows(lo, hi, read), np.float32)
        for_groups(np.multiply, values, self.scale.rows(lo, hi, read), self.group)
        for_groups(np.add, values, self.bias.rows(lo, hi, read), self.group)
        return values

    def repack_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> U8Array:
        levels = self.codes.rows(lo, hi, read).reshape(-1, _BLOCK)
        blocks_of_a_group = self.group // _BLOCK
        scales = np.repeat(self.scale.rows(lo, hi, read), blocks_of_a_group)
        # The scale of a block whose codes are all 0 does not matter: MLX never writes 0 there.
        scales[~levels.any(axis=1)] = 0
        biases = np.repeat(self.bias.rows(lo, hi, read), blocks_of_a_group)
        out = np.empty(len(levels), _LAYOUTS[str(weight.exact_type)])
        out["d"], out["m"] = _as_f16(weight, scales), _as_f16(weight, biases)
        pack_halves(levels, out["qs"])
        if "qh" in (out.dtype.names or ()):
            out["qh"] = pack_fifth_bits(levels)
        return out.view(np.uint8).reshape(hi - lo, -1)


def _as_f16(weight: Weight, stored: F32Array) -> F32Array:
    with np.errstate(over="ignore"):
        off = stored.astype(np.float16).astype(np.float32) != stored
    if off.any():
        raise off_grid(weight, f"F16 does not hold a scale or bias of {stored[off][0]:.4g}")
    return stored
