"""F16: IEEE half precision. Values from 65520 on become infinities; `f16_overflows` counts them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.floats import decode_f16, encode_f16
from quantize.quantizers.base import F32Array, U8Array
from quantize.tensors import GGML_TYPES, GGMLType


@dataclass(frozen=True, slots=True)
class Float16:
    type: GGMLType = GGML_TYPES["F16"]
    encode: Callable[[F32Array], NDArray[np.uint16]] = encode_f16

    def quantize(self, rows: F32Array, imatrix: F32Array | None = None) -> U8Array:
        return self.encode(rows).view(np.uint8)

    def dequantize(self, data: U8Array) -> F32Array:
        return decode_f16(np.ascontiguousarray(data).view(np.uint16))


F16 = Float16()
