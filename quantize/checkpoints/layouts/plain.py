"""Weights stored as themselves, in any of the float and integer dtypes."""

from __future__ import annotations

from dataclasses import dataclass

from quantize.arrays import F32Array
from quantize.checkpoints.base import (
    Reader,
    Weight,
)
from quantize.checkpoints.stored import read_rows, widen
from quantize.tensors import (
    StoredTensor,
)


@dataclass(frozen=True, slots=True)
class PlainLayout:
    """One stored tensor is one weight."""

    name: str = "plain"

    def decode_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> F32Array:
        (tensor,) = weight.parts
        return widen(read_rows(tensor, lo, hi, read), tensor.dtype)


def plain_weight(tensor: StoredTensor) -> Weight:
    return Weight(tensor.name, tensor.shape, tensor.dtype, PlainLayout(), (tensor,))
