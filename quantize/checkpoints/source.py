"""What a conversion reads from: weights by name, rows of them on demand, and small files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantize.checkpoints.base import F32Array, Weight
from quantize.tensors import as_rows

# Rows that lie closer than this many times their own number are read in one piece: the RoPE
# permutation takes rows from two halves of a head, and one read is cheaper than two.
_DENSE = 4


class Source(Protocol):
    """A checkpoint or a GGUF file. Safe to use from several threads; picklable."""

    name: str
    weights: Mapping[str, Weight]

    def decode_rows(self, name: str, lo: int, hi: int) -> F32Array:
        """Rows lo..hi of a weight as float32 (hi - lo, cols), a fresh array."""
        ...

    def read_json(self, name: str) -> Any:
        """A small JSON file of the source, parsed; None if there is no such file."""
        ...


def gather_rows(source: Source, name: str, rows: NDArray[np.int64]) -> F32Array:
    """Any rows of a weight, in the given order, as float32 (n, cols)."""
    n = len(rows)
    if not n:
        return np.empty((0, as_rows(source.weights[name].shape)[1]), np.float32)
    lo, hi = int(rows.min()), int(rows.max()) + 1
    if hi - lo == n and _ascending(rows):
        return source.decode_rows(name, lo, hi)
    if hi - lo <= _DENSE * n:
        return source.decode_rows(name, lo, hi)[rows - lo]
    order = np.argsort(rows, kind="stable")
    result = np.empty((n, as_rows(source.weights[name].shape)[1]), np.float32)
    for part in _runs(rows[order]):
        places = order[part]
        result[places] = gather_rows(source, name, rows[places])
    return result


def _ascending(rows: NDArray[np.int64]) -> bool:
    return bool(rows[0] + len(rows) - 1 == rows[-1] and (np.diff(rows) == 1).all())


def _runs(ascending: NDArray[np.int64]) -> Sequence[slice]:
    """Cut sorted rows at their widest gaps, into runs dense enough for one read each."""
    cuts = np.flatnonzero(np.diff(ascending) > _DENSE) + 1
    edges = [0, *cuts.tolist(), len(ascending)]
    return [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]
