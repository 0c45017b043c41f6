"""BF16: the upper half of a float32, rounded to nearest even."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.floats import decode_bf16, encode_bf16
from quantize.quantizers.base import F32Array, U8Array
from quantize.tensors import GGML_TYPES, GGMLType


@dataclass(frozen=True, slots=True)
class BFloat16:
    type: GGMLType = GGML_TYPES["BF16"]
    encode: Callable[[F32Array], NDArray[np.uint16]] = encode_bf16

    def quantize(self, rows: F32Array, imatrix: F32Array | None = None) -> U8Array:
        return self.encode(rows).view(np.uint8)

    def dequantize(self, data: U8Array) -> F32Array:
        return decode_bf16(np.ascontiguousarray(data).view(np.uint16))


BF16 = BFloat16()
