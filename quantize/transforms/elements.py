"""Element maps: arithmetic on the values of a tensor, in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quantize.arrays import F32Array
from quantize.tensors import (
    Shape,
)
from quantize.transforms.base import (
    RowTransform,
    WholeTensorTransform,
)


@dataclass(frozen=True, slots=True)
class Add(RowTransform):
    """Plus a constant in float32: norms that a model stores as (weight - 1)."""

    slicewise = True
    moves_rows_only = False

    constant: float = 1.0

    def values(self, rows: F32Array) -> F32Array:
        return np.add(rows, np.float32(self.constant), out=rows)


@dataclass(frozen=True, slots=True)
class Scale(RowTransform):
    """Times a constant in float32."""

    slicewise = True
    moves_rows_only = False

    factor: float

    def values(self, rows: F32Array) -> F32Array:
        return np.multiply(rows, np.float32(self.factor), out=rows)


@dataclass(frozen=True, slots=True)
class NegExp(RowTransform):
    """-exp(x): state-space models store the logarithm of -A."""

    slicewise = True
    moves_rows_only = False

    def values(self, rows: F32Array) -> F32Array:
        return np.negative(np.exp(rows, out=rows), out=rows)


@dataclass(frozen=True, slots=True)
class RoundToF16(RowTransform):
    """To the nearest float16. Arithmetic on float16 sources stays in float16 in the converter."""

    slicewise = True
    moves_rows_only = False

    def values(self, rows: F32Array) -> F32Array:
        return rows.astype(np.float16).astype(np.float32)


@dataclass(frozen=True, slots=True)
class ScaleSpans(WholeTensorTransform):
    """Spans of the first dimension, `sizes` long, each times a factor of its own in float32.

    It needs the whole tensor because what happens to a row depends on which row it is.
    """

    sizes: tuple[int, ...]
    factors: tuple[float, ...]

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        if shape[0] != sum(self.sizes) or len(self.sizes) != len(self.factors):
            raise ValueError(f"{shape[0]} rows are not spans of {self.sizes}")
        return shape

    def apply(self, tensors: Sequence[F32Array]) -> F32Array:
        column = np.repeat(np.array(self.factors, np.float32), self.sizes)
        return tensors[0] * column.reshape(-1, *(1,) * (tensors[0].ndim - 1))
