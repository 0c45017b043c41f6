"""F32: the values themselves, little-endian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantize.quantizers.base import F32Array, U8Array
from quantize.tensors import GGML_TYPES, GGMLType


@dataclass(frozen=True, slots=True)
class Float32:
    type: GGMLType = GGML_TYPES["F32"]

    def quantize(self, rows: F32Array, imatrix: F32Array | None = None) -> U8Array:
        """The bytes of `rows`; a view where they are contiguous already."""
        return np.ascontiguousarray(rows, "<f4").view(np.uint8)

    def dequantize(self, data: U8Array) -> F32Array:
        return np.ascontiguousarray(data).view("<f4")


F32 = Float32()
