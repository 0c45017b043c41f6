"""Transforms one after another, and transforms of either kind on complete sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quantize.arrays import F32Array
from quantize.tensors import (
    Shape,
    as_rows,
)
from quantize.transforms.base import (
    IDENTITY,
    ZEROS,
    Piece,
    Rows,
    RowTransform,
    Transform,
    WholeTensorTransform,
)


@dataclass(frozen=True, slots=True)
class RowChain(RowTransform):
    """Row transforms one after another. The first may take several sources."""

    links: tuple[RowTransform, ...]

    @property
    def slicewise(self) -> bool:
        return all(link.slicewise for link in self.links)

    @property
    def moves_rows_only(self) -> bool:
        return all(link.moves_rows_only for link in self.links)

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        return _shapes(self.links, shapes)[-1]

    def rows(self, shapes: Sequence[Shape], lo: int, hi: int) -> list[Piece]:
        steps = _shapes(self.links, shapes)
        wanted = np.arange(lo, hi)
        for link, shape in zip(reversed(self.links[1:]), reversed(steps[:-1]), strict=True):
            wanted = _gather(link, [shape], wanted)[0][1]
        return _gather(self.links[0], shapes, wanted)

    def values(self, rows: F32Array) -> F32Array:
        for link in self.links:
            rows = link.values(rows)
        return rows


@dataclass(frozen=True, slots=True)
class WholeTensorChain(WholeTensorTransform):
    """Transforms of which at least one needs whole tensors. The first may take several sources."""

    links: tuple[Transform, ...]

    @property
    def slicewise(self) -> bool:
        return all(link.slicewise for link in self.links)

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        return _shapes(self.links, shapes)[-1]

    def apply(self, tensors: Sequence[F32Array]) -> F32Array:
        result = apply_whole(self.links[0], tensors)
        for link in self.links[1:]:
            result = apply_whole(link, [result])
        return result


def chain(*links: Transform) -> Transform:
    """The links one after another; the first may take several sources."""
    if len(links) == 1:
        return links[0]
    by_rows = tuple(link for link in links if isinstance(link, RowTransform))
    return RowChain(by_rows) if len(by_rows) == len(links) else WholeTensorChain(links)


def split_at_whole(transform: WholeTensorTransform) -> tuple[RowTransform, WholeTensorTransform]:
    """Split a chain at its first whole-tensor step: the row-wise steps before it, and the rest."""
    if not isinstance(transform, WholeTensorChain):
        return IDENTITY, transform
    before: list[RowTransform] = []
    for link in transform.links:
        if not isinstance(link, RowTransform):
            break
        before.append(link)
    rest = transform.links[len(before) :]
    whole = rest[0] if len(rest) == 1 else WholeTensorChain(rest)
    if isinstance(whole, RowTransform):
        raise TypeError(f"{transform} has no step that needs a whole tensor")
    if not before:
        return IDENTITY, whole
    return before[0] if len(before) == 1 else RowChain(tuple(before)), whole


def apply_whole(transform: Transform, tensors: Sequence[F32Array]) -> F32Array:
    """A transform of either kind on complete sources."""
    if isinstance(transform, WholeTensorTransform):
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


def _shapes(links: Sequence[Transform], shapes: Sequence[Shape]) -> list[Shape]:
    """The shape after each link."""
    steps = [links[0].shape(shapes)]
    for link in links[1:]:
        steps.append(link.shape([steps[-1]]))
    return steps


def _gather(link: RowTransform, shapes: Sequence[Shape], wanted: Rows) -> list[Piece]:
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
