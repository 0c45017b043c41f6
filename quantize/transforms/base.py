"""What a transform is: source tensors to one GGUF tensor, by rows where that is possible.

A transform has a metadata half (`shape`) and a data half, so a plan knows every size before a byte
is read. Most are row transforms: each output row is a source row (`rows` says which one) with an
element map over it (`values`), so a task can be any range of rows. A transform that mixes columns,
or whose element map depends on the row, needs whole tensors: the executor hands it complete ones,
or one slice after another where it is `slicewise`, and the planner counts that memory.

Transforms are frozen and hold plain data: they travel between processes and into plan digests.
Shapes are in NumPy's order; a tensor of one dimension is n rows of one column (see tensors.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quantize.arrays import F32Array
from quantize.tensors import (
    Shape,
)

Rows = NDArray[np.int64]
# (which source, which of its rows), in output order. ZEROS: as many rows of zeros, of no source.
Piece = tuple[int, Rows]
ZEROS = -1


class _Described:
    """What both kinds say of themselves. A test holds each flag against what a transform does."""

    @property
    def slicewise(self) -> bool:
        """Whether each slice of the first dimension comes from that slice of one source alone."""
        return False

    @property
    def moves_rows_only(self) -> bool:
        """Whether rows come out as they were: blocks of a quantized row may then be moved, too."""
        return False

    def shape(self, shapes: Sequence[Shape]) -> Shape:
        """Shape of the result. Raises ValueError where the sources cannot be used."""
        (shape,) = shapes
        return shape


class RowTransform(_Described):
    """Each output row is a source row with an element map over it; here, the row as it is."""

    needs_whole_tensor: ClassVar[Literal[False]] = False

    @property
    def moves_rows_only(self) -> bool:
        return True

    def rows(self, shapes: Sequence[Shape], lo: int, hi: int) -> list[Piece]:
        """Where output rows lo..hi come from."""
        return [(0, np.arange(lo, hi))]

    def values(self, rows: F32Array) -> F32Array:
        """The element map, on output rows (n, cols). May work in place."""
        return rows


class WholeTensorTransform(_Described, ABC):
    """Made from complete sources at once, or from complete slices; see `slicewise`."""

    needs_whole_tensor: ClassVar[Literal[True]] = True

    @abstractmethod
    def apply(self, tensors: Sequence[F32Array]) -> F32Array:
        """Complete sources in their shapes to the complete result."""


Transform: TypeAlias = RowTransform | WholeTensorTransform


@dataclass(frozen=True, slots=True)
class Identity(RowTransform):
    """One source, unchanged."""

    slicewise = True


IDENTITY = Identity()
