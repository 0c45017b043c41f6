"""What a conversion reads from: weights by name, rows of them on demand, and small files."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from quantize.arrays import F32Array, U8Array
from quantize.checkpoints.base import (
    Weight,
)
from quantize.storage.source import ByteSource

Element = TypeVar("Element", np.float32, np.uint8)

# Rows that lie closer than this many times their own number are read in one piece: the RoPE
# permutation takes rows from two halves of a head, and one read is cheaper than two.
_DENSE = 4


SourceKind = Literal["checkpoint", "gguf", "adapter"]


class RowSource(Protocol):
    """Weights by name, and rows of them. Safe to use from several threads; picklable."""

    @property
    def name(self) -> str:
        """The model's own name."""
        ...

    @property
    def weights(self) -> Mapping[str, Weight]: ...

    def decode_rows(self, name: str, lo: int, hi: int) -> F32Array:
        """Rows lo..hi of a weight as float32 (hi - lo, cols), a fresh array."""
        ...

    def repack_rows(self, name: str, lo: int, hi: int) -> U8Array:
        """Rows of a weight that has an `exact_type`, as blocks of it: uint8 (hi - lo, nbytes)."""
        ...

    def read_json(self, name: str) -> Any:
        """A small JSON file of the source, parsed; None if there is no such file."""
        ...

    def share(self) -> None:
        """Make copies of this usable in other processes; comes before it is pickled."""
        ...


class Source(RowSource, Protocol):
    """A checkpoint, a GGUF file or an adapter."""

    @property
    def kind(self) -> SourceKind: ...

    @property
    def files(self) -> ByteSource: ...

    @property
    def nearest(self) -> str | None:
        """The file type that loses nothing measurable of weights that are quantized already.

        None where they were never quantized, and for GGUF files, which keep or refuse theirs.
        """
        ...

    def names(self) -> list[str]:
        """The relative names of all files."""
        ...


def gather_rows(
    read: Callable[[int, int], NDArray[Element]], rows: NDArray[np.int64]
) -> NDArray[Element]:
    """Any rows, in the given order, from `read(lo, hi)` that gives ranges of rows."""
    n = len(rows)
    if not n:
        return read(0, 0)
    lo, hi = int(rows.min()), int(rows.max()) + 1
    if hi - lo == n and _ascending(rows):
        return read(lo, hi)
    if hi - lo <= _DENSE * n:
        return read(lo, hi)[rows - lo]
    order = np.argsort(rows, kind="stable")
    parts = [gather_rows(read, rows[order[part]]) for part in _runs(rows[order])]
    result = np.empty((n, parts[0].shape[1]), parts[0].dtype)
    result[order] = np.concatenate(parts)
    return result


def _ascending(rows: NDArray[np.int64]) -> bool:
    return bool(rows[0] + len(rows) - 1 == rows[-1] and (np.diff(rows) == 1).all())


def _runs(ascending: NDArray[np.int64]) -> Sequence[slice]:
    """Cut sorted rows at their widest gaps, into runs dense enough for one read each."""
    cuts = np.flatnonzero(np.diff(ascending) > _DENSE) + 1
    edges = [0, *cuts.tolist(), len(ascending)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]
