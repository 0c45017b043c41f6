"""F16: IEEE half precision. Values from 65520 on become infinities; `f16_overflows` counts them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantize.kernels.floats import decode_f16, encode_f16
from quantize.quantizers.base import F32Array, U8Array
from quantize.tensors import GGML_TYPES, GGMLType


@dataclass(frozen=True, slots=True)
class Float16:
    type: GGMLType = GGML_TYPES["F16"]

    def quantize(self, rows: F32Array, imatrix: F32Array | None = None) -> U8Array:
        return encode_f16(rows).view(np.uint8)

    def dequantize(self, data: U8Array) -> F32Array:
        return decode_f16(np.ascontiguousarray(data).view(np.uint16))


F16 = Float16()
