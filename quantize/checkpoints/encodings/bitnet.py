"""BitNet as transformers packs it: ternary weights, four rows in a byte.

`X.weight` is U8 (rows / 4, cols): row r of the file holds rows r, r + rows / 4 and so on, from the
lowest bits up; codes 0, 1, 2 are -1, 0, 1. `X.weight_scale` is one number: BitLinear divides by
it, AutoBitLinear multiplies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantize.arrays import U8Array
from quantize.checkpoints.base import (
    Reader,
    Weight,
)
from quantize.checkpoints.layouts.affine import Affine
from quantize.checkpoints.layouts.matrices import Matrix, Quotient, Single
from quantize.checkpoints.layouts.scaled import SCALE_DTYPES
from quantize.checkpoints.modules import Modules, check_matrix, check_part
from quantize.checkpoints.stored import read_rows
from quantize.errors import UnsupportedError
from quantize.tensors import (
    StoredTensor,
)

_PER_BYTE = 4


@dataclass(frozen=True, slots=True)
class Quarters:
    """Rows of 2-bit codes, each from one of four quarters."""

    tensor: StoredTensor

    def rows(self, lo: int, hi: int, read: Reader) -> U8Array:
        quarter = self.tensor.shape[0]
        pieces = []
        for part in range(lo // quarter, (hi - 1) // quarter + 1):
            first = max(lo - part * quarter, 0)
            last = min(hi - part * quarter, quarter)
            pieces.append(read_rows(self.tensor, first, last, read) >> (2 * part) & 3)
        return np.concatenate(pieces)


class BitNet:
    name = "bitnet"
    nearest = "Q8_0"
    accepts = "ternary weights packed by transformers, of BitLinear and AutoBitLinear"

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._divides = config.get("linear_class", "bitlinear") == "bitlinear"
        mode = config.get("quantization_mode", "offline")
        if mode != "offline":
            raise UnsupportedError(
                "unknown-quant-format",
                f"BitNet weights of quantization_mode {mode!r} cannot be read yet",
                where="config.json: quantization_config.quantization_mode",
                reason="they are made ternary when the model runs; only 'offline' is packed",
                hint="convert a checkpoint with packed weights",
            )

    def resolve(self, stored: Mapping[str, StoredTensor], read: Reader) -> dict[str, Weight]:
        modules = Modules(stored)
        weights = {}
        for module in modules.having(".weight", ("U8",)):
            codes = check_matrix(modules.need(module, ".weight"), ("U8",))
            scale = check_part(modules.need(module, ".weight_scale"), SCALE_DTYPES, (1,), ())
            factor: Matrix = Single(scale)
            if self._divides:
                factor = Quotient(Single(1.0), factor)
            shape = (codes.shape[0] * _PER_BYTE, codes.shape[1])
            layout = Affine(self.name, Quarters(codes), factor, shape[1], zero=Single(1.0))
            name = f"{module}.weight"
            weights[name] = Weight(name, shape, scale.dtype, layout, (codes, scale))
        return modules.plain() | weights
