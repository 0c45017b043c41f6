"""Row maps: which source rows make an output row. Nothing happens to their elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quantize.tensors import Shape, as_rows
from quantize.transforms.base import ZEROS, Piece, RowTransform


@dataclass(frozen=True, slots=True)
class PermuteRope(RowTransform):
    """Rows of each head from "halves" order to "pairs" order, which llama.cpp's RoPE expects.

    Row 2i of a head is row i of its first half, row 2i+1 row i of its second. For a head of 8 rows:

        output row      0  1  2  3  4  5  6  7
        is source row   0  4  1  5  2  6  3  7

    Inverse of the permutation that transformers' conversion of Meta's weights applies.
    """

    n_head: int

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        if shape[0] % (2 * self.n_head):
            raise ValueError(f"{shape[0]} rows are not {self.n_head} heads of an even size")
        return shape

    def rows(self, shapes: Sequence[Shape], lo: int, hi: int) -> list[Piece]:
        head = shapes[0][0] // self.n_head
        out = np.arange(lo, hi)
        place = out % head
        return [(0, out - place + place // 2 + place % 2 * (head // 2))]


@dataclass(frozen=True, slots=True)
class Unpair(RowTransform):
    """The first `rotary` rows of each head from "pairs" order to "halves" order.

    The inverse of PermuteRope, for the part of a head that RoPE turns.
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
class Ungroup(RowTransform):
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
class PermuteBlocks(RowTransform):
    """Split the first dimension into len(order) equal blocks and put them in this order."""

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


@dataclass(frozen=True, slots=True)
class Stack(RowTransform):
    """Sources of one shape as slices of a new first dimension: experts into one tensor."""

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        if len(set(shapes)) != 1:
            raise ValueError(f"the parts have different shapes: {sorted(set(shapes))}")
        if len(shapes[0]) < 2:
            raise ValueError("vectors become rows of a table by Join and Refold, not by Stack")
        return (len(shapes), *shapes[0])

    def rows(self, shapes: Sequence[Shape], lo: int, hi: int) -> list[Piece]:
        return _consecutive([as_rows(shape)[0] for shape in shapes], lo, hi)


@dataclass(frozen=True, slots=True)
class Join(RowTransform):
    """Sources one after another along the first dimension: q, k, v into one tensor."""

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        if len({shape[1:] for shape in shapes}) != 1:
            raise ValueError(f"the parts differ beyond their first dimension: {list(shapes)}")
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def rows(self, shapes: Sequence[Shape], lo: int, hi: int) -> list[Piece]:
        return _consecutive([as_rows(shape)[0] for shape in shapes], lo, hi)


def _consecutive(counts: Sequence[int], lo: int, hi: int) -> list[Piece]:
    pieces: list[Piece] = []
    start = 0
    for source, count in enumerate(counts):
        a, b = max(lo - start, 0), min(hi - start, count)
        if a < b:
            pieces.append((source, np.arange(a, b)))
        start += count
    return pieces


@dataclass(frozen=True, slots=True)
class Span(RowTransform):
    """Indices start..stop of dimension `dim`, which is not the last of several."""

    start: int
    stop: int
    dim: int = 0

    @property
    def slicewise(self) -> bool:
        return self.dim > 0

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        if not 0 <= self.start < self.stop <= shape[self.dim]:
            raise ValueError(f"{shape} has no {self.start}..{self.stop} in dimension {self.dim}")
        return (*shape[: self.dim], self.stop - self.start, *shape[self.dim + 1 :])

    def rows(self, shapes: Sequence[Shape], lo: int, hi: int) -> list[Piece]:
        shape = shapes[0]
        inner = math.prod(shape[self.dim + 1 : -1]) if self.dim < len(shape) - 1 else 1
        taken = (self.stop - self.start) * inner
        outer, place = np.divmod(np.arange(lo, hi), taken)
        return [(0, outer * (shape[self.dim] * inner) + self.start * inner + place)]


@dataclass(frozen=True, slots=True)
class Part(RowTransform):
    """Part `index` of `parts` equal parts of dimension `dim`: a half of a fused gate_up."""

    index: int
    parts: int
    dim: int = 0

    @property
    def slicewise(self) -> bool:
        return self.dim > 0

    def _span(self, shape: Shape) -> Span:
        size, rest = divmod(shape[self.dim], self.parts)
        if rest:
            raise ValueError(f"dimension {self.dim} of {shape} is not {self.parts} equal parts")
        return Span(self.index * size, (self.index + 1) * size, self.dim)

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        return self._span(shapes[0]).shape(shapes)

    def rows(self, shapes: Sequence[Shape], lo: int, hi: int) -> list[Piece]:
        return self._span(shapes[0]).rows(shapes, lo, hi)


@dataclass(frozen=True, slots=True)
class Every(RowTransform):
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
class FirstRows(RowTransform):
    """At most `count` indices of the first dimension: an embedding without its padding."""

    count: int

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        return (min(self.count, shape[0]), *shape[1:])


@dataclass(frozen=True, slots=True)
class PickRows(RowTransform):
    """These rows of a table, in this order: what a classifier needs of an output matrix."""

    indices: tuple[int, ...]

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        if len(shape) != 2 or not all(0 <= index < shape[0] for index in self.indices):
            raise ValueError(f"{shape} has no rows {self.indices}")
        return (len(self.indices), shape[1])

    def rows(self, shapes: Sequence[Shape], lo: int, hi: int) -> list[Piece]:
        return [(0, np.asarray(self.indices)[lo:hi])]


@dataclass(frozen=True, slots=True)
class PadRows(RowTransform):
    """At least `count` indices of the first dimension, the added ones with zeros."""

    moves_rows_only = False  # rows of zeros are in no source
    count: int

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        return (max(self.count, shape[0]), *shape[1:])

    def rows(self, shapes: Sequence[Shape], lo: int, hi: int) -> list[Piece]:
        there = math.prod(shapes[0][:-1])
        pieces = [(0, np.arange(lo, min(hi, there))), (ZEROS, np.arange(max(lo, there), hi))]
        return [piece for piece in pieces if len(piece[1])]
