"""Row maps of fused tensors whose parts alternate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quantize.tensors import Shape, as_rows
from quantize.transforms.base import ZEROS, Piece, Transform


@dataclass(frozen=True, slots=True)
class Every(Transform):
    """Indices start, start + step, ... of dimension `dim`, which is not the last of several.

    The gate or the up half of a tensor that has them in turn.
    """

    start: int
    step: int
    dim: int = 0

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        if len(shape) > 1 and self.dim == len(shape) - 1:
            raise ValueError(f"dimension {self.dim} of {shape} is the columns")
        if shape[self.dim] % self.step:
            raise ValueError(f"dimension {self.dim} of {shape} is not a multiple of {self.step}")
        return (*shape[: self.dim], shape[self.dim] // self.step, *shape[self.dim + 1 :])

    def rows(self, shapes: Sequence[Shape], lo: int, hi: int) -> list[Piece]:
        inner = math.prod(shapes[0][self.dim + 1 : -1])
        index, place = np.divmod(np.arange(lo, hi), inner)
        return [(0, (index * self.step + self.start) * inner + place)]


@dataclass(frozen=True, slots=True)
class Ungroup(Transform):
    """A fused q, k, v whose parts alternate, group by group, to all q, then all k, then all v.

    `parts` are the relative sizes of the parts of each of `groups` equal groups of rows: (4, 1, 1)
    is four query heads, a key head and a value head a group.
    """

    groups: int
    parts: Shape

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        if shape[0] % (self.groups * sum(self.parts)):
            raise ValueError(f"{shape[0]} rows are not {self.groups} groups of {self.parts}")
        return shape

    def rows(self, shapes: Sequence[Shape], lo: int, hi: int) -> list[Piece]:
        total = shapes[0][0]
        unit = total // (self.groups * sum(self.parts))
        table = np.arange(total).reshape(self.groups, sum(self.parts) * unit)
        cuts = np.cumsum(self.parts)[:-1] * unit
        order = np.concatenate([part.ravel() for part in np.split(table, cuts, axis=1)])
        return [(0, order[lo:hi])]


@dataclass(frozen=True, slots=True)
class Unpair(Transform):
    """The first `rotary` rows of each head from "pairs" order to "halves" order.

    The inverse of transforms.PermuteRope, for the part of a head that RoPE turns.
    """

    n_head: int
    rotary: int

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        if shape[0] % self.n_head or self.rotary % 2 or self.rotary > shape[0] // self.n_head:
            raise ValueError(
                f"{shape[0]} rows are not {self.n_head} heads to turn {self.rotary} of"
            )
        return shape

    def rows(self, shapes: Sequence[Shape], lo: int, hi: int) -> list[Piece]:
        head, place = np.divmod(np.arange(lo, hi), shapes[0][0] // self.n_head)
        half = self.rotary // 2
        paired = place % half * 2 + place // half
        size = shapes[0][0] // self.n_head
        return [(0, head * size + np.where(place < self.rotary, paired, place))]


@dataclass(frozen=True, slots=True)
class FirstRows(Transform):
    """At most `count` indices of the first dimension: an embedding without its padding."""

    count: int

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        return (min(self.count, shape[0]), *shape[1:])


@dataclass(frozen=True, slots=True)
class PadRows(Transform):
    """At least `count` indices of the first dimension, the added ones with zeros."""

    count: int

    @property
    def moves_rows_only(self) -> bool:
        return False

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        return (max(self.count, shape[0]), *shape[1:])

    def rows(self, shapes: Sequence[Shape], lo: int, hi: int) -> list[Piece]:
        there = math.prod(shapes[0][:-1])
        pieces = [(0, np.arange(lo, min(hi, there))), (ZEROS, np.arange(max(lo, there), hi))]
        return [piece for piece in pieces if len(piece[1])]


@dataclass(frozen=True, slots=True)
class Blocks(Transform):
    """As many equal blocks of the first dimension as `order` has numbers, in that order."""

    order: Shape

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        if shape[0] % len(self.order):
            raise ValueError(f"{shape[0]} rows are not {len(self.order)} equal blocks")
        return shape

    def rows(self, shapes: Sequence[Shape], lo: int, hi: int) -> list[Piece]:
        size = as_rows(shapes[0])[0] // len(self.order)
        block, place = np.divmod(np.arange(lo, hi), size)
        return [(0, np.asarray(self.order)[block] * size + place)]
