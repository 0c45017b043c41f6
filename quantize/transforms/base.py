"""From source tensors to one GGUF tensor, declared row by row.

A transform has a metadata half (`shape`) and a data half (`rows` says which source rows make an
output row, `values` what happens to their elements), so a plan knows every size before a byte is
read and a task can be any range of rows. Only a transform that mixes columns is `whole`: the
executor then hands it complete tensors, or one expert after another where it mixes `by_slice`, and
the planner counts that memory.

Transforms are frozen and hold plain data: they travel between processes and into plan digests.
Shapes are in NumPy's order; a tensor of one dimension is n rows of one column (see tensors.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.tensors import Shape, as_rows

F32Array = NDArray[np.float32]
Rows = NDArray[np.int64]
# (which source, which of its rows), in output order. ZEROS: as many rows of zeros, of no source.
Piece = tuple[int, Rows]
ZEROS = -1


class Transform:
    """One source, unchanged. Base of all others."""

    @property
    def whole(self) -> bool:
        """Whether columns are mixed, so that the executor must hand over complete tensors."""
        return False

    @property
    def by_slice(self) -> bool:
        """Whether each slice of the first dimension comes from that slice of one source alone."""
        own = type(self)
        unmoved = own.shape is Transform.shape and own.rows is Transform.rows
        return unmoved and not self.whole

    @property
    def moves_rows_only(self) -> bool:
        """Whether rows come out as they were: blocks of a quantized row may then be moved, too."""
        return not self.whole and type(self).values is Transform.values

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        """Shape of the result. Raises ValueError where the sources cannot be used."""
        (shape,) = shapes
        return shape

    def rows(self, shapes: Sequence[Shape], lo: int, hi: int) -> list[Piece]:
        """Where output rows lo..hi come from."""
        return [(0, np.arange(lo, hi))]

    def values(self, rows: F32Array) -> F32Array:
        """The element map, on output rows (n, cols). May work in place."""
        return rows

    def apply(self, tensors: Sequence[F32Array]) -> F32Array:
        """Complete sources in their shapes to the complete result; only for `whole`."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Identity(Transform):
    pass


@dataclass(frozen=True, slots=True)
class PermuteRope(Transform):
    """Rows of each head from "halves" order to "pairs" order, which llama.cpp's RoPE expects.

    Row 2i of a head is row i of its first half, row 2i+1 row i of its second. Inverse of the
    permutation that transformers' conversion of Meta's weights applies.
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
class Stack(Transform):
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
class Join(Transform):
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
class Span(Transform):
    """Indices start..stop of dimension `dim`, which is not the last of several."""

    start: int
    stop: int
    dim: int = 0

    @property
    def by_slice(self) -> bool:
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
class Part(Transform):
    """Part `index` of `parts` equal parts of dimension `dim`: a half of a fused gate_up."""

    index: int
    parts: int
    dim: int = 0

    @property
    def by_slice(self) -> bool:
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
class Add(Transform):
    """Plus a constant in float32: norms that a model stores as (weight - 1)."""

    constant: float = 1.0

    def values(self, rows: F32Array) -> F32Array:
        return np.add(rows, np.float32(self.constant), out=rows)


@dataclass(frozen=True, slots=True)
class Scale(Transform):
    """Times a constant in float32."""

    factor: float

    def values(self, rows: F32Array) -> F32Array:
        return np.multiply(rows, np.float32(self.factor), out=rows)


@dataclass(frozen=True, slots=True)
class ScaleSpans(Transform):
    """Spans of the first dimension, `sizes` long, each times a factor of its own in float32."""

    sizes: tuple[int, ...]
    factors: tuple[float, ...]

    @property
    def whole(self) -> bool:
        """The element map of a row depends on which row it is."""
        return True

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        (shape,) = shapes
        if shape[0] != sum(self.sizes) or len(self.sizes) != len(self.factors):
            raise ValueError(f"{shape[0]} rows are not spans of {self.sizes}")
        return shape

    def apply(self, tensors: Sequence[F32Array]) -> F32Array:
        column = np.repeat(np.array(self.factors, np.float32), self.sizes)
        return tensors[0] * column.reshape(-1, *(1,) * (tensors[0].ndim - 1))


@dataclass(frozen=True, slots=True)
class NegExp(Transform):
    """-exp(x): state-space models store the logarithm of -A."""

    def values(self, rows: F32Array) -> F32Array:
        return np.negative(np.exp(rows, out=rows), out=rows)


@dataclass(frozen=True, slots=True)
class RoundToF16(Transform):
    """To the nearest float16. Arithmetic on float16 sources stays in float16 in the converter."""

    def values(self, rows: F32Array) -> F32Array:
        return rows.astype(np.float16).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Chain(Transform):
    """`first` on the sources, then each of `then` on the result before it."""

    first: Transform
    then: tuple[Transform, ...]

    @property
    def links(self) -> tuple[Transform, ...]:
        return (self.first, *self.then)

    @property
    def whole(self) -> bool:
        return any(link.whole for link in self.links)

    @property
    def by_slice(self) -> bool:
        return all(link.by_slice for link in self.links)

    @property
    def moves_rows_only(self) -> bool:
        return all(link.moves_rows_only for link in self.links)

    def _shapes(self, shapes: Sequence[Shape]) -> list[Shape]:
        steps = [self.first.shape(shapes)]
        for link in self.then:
            steps.append(link.shape([steps[-1]]))
        return steps

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        return self._shapes(shapes)[-1]

    def rows(self, shapes: Sequence[Shape], lo: int, hi: int) -> list[Piece]:
        steps = self._shapes(shapes)
        wanted = np.arange(lo, hi)
        for link, shape in zip(reversed(self.then), reversed(steps[:-1]), strict=True):
            wanted = _gather(link, [shape], wanted)[0][1]
        return _gather(self.first, shapes, wanted)

    def values(self, rows: F32Array) -> F32Array:
        for link in self.links:
            rows = link.values(rows)
        return rows

    def apply(self, tensors: Sequence[F32Array]) -> F32Array:
        result = complete(self.first, tensors)
        for link in self.then:
            result = complete(link, [result])
        return result


def _gather(link: Transform, shapes: Sequence[Shape], wanted: Rows) -> list[Piece]:
    """The source rows of any output rows, not only of a range."""
    if not len(wanted):
        return []
    lo = int(wanted.min())
    pieces = link.rows(shapes, lo, int(wanted.max()) + 1)
    source = np.concatenate([np.full(len(rows), index) for index, rows in pieces])[wanted - lo]
    place = np.concatenate([rows for _, rows in pieces])[wanted - lo]
    cuts = np.flatnonzero(np.diff(source)) + 1
    return [
        (int(part[0]), rows)
        for part, rows in zip(np.split(source, cuts), np.split(place, cuts), strict=True)
    ]


def complete(transform: Transform, tensors: Sequence[F32Array]) -> F32Array:
    """A transform of either kind on complete sources."""
    if transform.whole:
        return transform.apply(tensors)
    shapes = [tensor.shape for tensor in tensors]
    shape = transform.shape(shapes)
    tables = [tensor.reshape(as_rows(tensor.shape)) for tensor in tensors]
    pieces = transform.rows(shapes, 0, as_rows(shape)[0])
    gathered = np.concatenate(
        [
            np.zeros((len(rows), as_rows(shape)[1]), np.float32)
            if source == ZEROS
            else tables[source][rows]
            for source, rows in pieces
        ]
    )
    return transform.values(gathered).reshape(shape)


def halves(transform: Transform) -> tuple[Transform, Transform]:
    """A transform that mixes columns, as what can be done by rows before, and the rest."""
    links = transform.links if isinstance(transform, Chain) else (transform,)
    first = next(index for index, link in enumerate(links) if link.whole)
    return chain(*links[:first]) if first else IDENTITY, chain(*links[first:])


def chain(*links: Transform) -> Transform:
    """The links one after another; the first may take several sources."""
    return links[0] if len(links) == 1 else Chain(links[0], links[1:])


IDENTITY = Identity()
