"""Weights stored as themselves, in any of the float and integer dtypes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from quantize.checkpoints.base import F32Array, Reader, Weight
from quantize.kernels.floats import decode_bf16
from quantize.tensors import DTYPE_SIZES, StoredTensor, as_rows

_NUMPY = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "<u1",
}  # fmt: skip


class Plain:
    """One stored tensor is one weight."""

    name = "plain"

    def __init__(self, config: Mapping[str, Any]) -> None:
        """`config` is not looked at: plain weights have nothing to declare."""

    def resolve(self, stored: Mapping[str, StoredTensor]) -> dict[str, Weight]:
        return {
            name: Weight(name, tensor.shape, tensor.dtype, self.name, (tensor,))
            for name, tensor in stored.items()
        }

    def decode_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> F32Array:
        (tensor,) = weight.parts
        cols = as_rows(weight.shape)[1]
        size = DTYPE_SIZES[tensor.dtype]
        data = read(tensor, lo * cols * size, (hi - lo) * cols * size)
        values = np.frombuffer(data, _NUMPY[tensor.dtype]).reshape(hi - lo, cols)
        if tensor.dtype == "BF16":
            return decode_bf16(values)
        # A copy in every case: transforms work in place.
        return values.astype(np.float32)
