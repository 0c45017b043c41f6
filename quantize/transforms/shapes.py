"""Transforms that give the same elements another shape, or their dimensions another order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quantize.arrays import F32Array
from quantize.tensors import (
    Shape,
    as_rows,
)
from quantize.transforms.base import (
    RowTransform,
    WholeTensorTransform,
)


@dataclass(frozen=True, slots=True)
class Reshape(RowTransform):
    """Another shape over the same elements in the same order, rows of the same length.

    `dims` may hold one -1. Squeezing or splitting dimensions before the last one is free; where
    the length of a row changes, use `Refold`.
    """

    dims: Shape

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        dims = _resolve(self.dims, shape)
        if as_rows(dims)[1] != as_rows(shape)[1]:
            raise ValueError(f"{shape} as {dims} would change the length of a row")
        return dims


@dataclass(frozen=True, slots=True)
class Refold(WholeTensorTransform):
    """Another shape over the same elements in the same order, with rows of another length."""

    dims: Shape

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        return _resolve(self.dims, shape)

    def apply(self, tensors: Sequence[F32Array]) -> F32Array:
        return tensors[0].reshape(_resolve(self.dims, tensors[0].shape))


def _resolve(dims: Shape, shape: Shape) -> Shape:
    total = math.prod(shape)
    known = math.prod(d for d in dims if d != -1)
    if dims.count(-1) == 1 and known and total % known == 0:
        dims = tuple(total // known if d == -1 else d for d in dims)
    if math.prod(dims) != total:
        raise ValueError(f"{shape} cannot have the shape {dims}")
    return dims


@dataclass(frozen=True, slots=True)
class Transpose(WholeTensorTransform):
    """Dimensions in another order, such as the Conv1D weights of GPT-2 (inputs first)."""

    axes: Shape = (1, 0)

    @property
    def slicewise(self) -> bool:
        return len(self.axes) > 2 and self.axes[0] == 0

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        if sorted(self.axes) != list(range(len(shape))):
            raise ValueError(f"{shape} has not {len(self.axes)} dimensions")
        return tuple(shape[axis] for axis in self.axes)

    def apply(self, tensors: Sequence[F32Array]) -> F32Array:
        return np.ascontiguousarray(tensors[0].transpose(self.axes))
