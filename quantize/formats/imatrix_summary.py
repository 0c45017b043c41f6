"""What an importance matrix says: how much of a model it saw, and which columns matter most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.arrays import F32Array
from quantize.formats.imatrix import (
    Imatrix,
    ImatrixEntry,
)

_NAMED = 3  # columns of a tensor at either end


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `expert` is None in a tensor whose columns were counted together."""

    expert: int | None
    index: int
    value: float


@dataclass(frozen=True, slots=True)
class TensorSummary:
    """One tensor: `columns` in all, of all experts. `mean` is that of those that were seen.

    `most` and `least` are columns of the largest and smallest values, the extreme ones first.
    Tensors with the same inputs have the same `entry.digest`.
    """

    name: str
    entry: ImatrixEntry
    mean: float
    most: tuple[Column, ...]
    least: tuple[Column, ...]

    @property
    def columns(self) -> int:
        return self.entry.size

    @property
    def active(self) -> int:
        """How many columns have a value above zero, and were seen."""
        per_group = self.entry.size // len(self.entry.counts)
        return self.entry.size - self.entry.zeros - self.entry.unseen * per_group


@dataclass(frozen=True, slots=True)
class Summary:
    """All tensors, in the order of the file. `experts` are matrices in stacks."""

    imatrix: Imatrix
    tensors: tuple[TensorSummary, ...]

    @property
    def columns(self) -> int:
        return sum(tensor.columns for tensor in self.tensors)

    @property
    def active(self) -> int:
        return sum(tensor.active for tensor in self.tensors)

    @property
    def experts(self) -> int:
        counts = [tensor.entry.counts for tensor in self.tensors]
        return sum(len(one) for one in counts if len(one) > 1)

    @property
    def unseen(self) -> int:
        return sum(tensor.entry.unseen for tensor in self.tensors)


def summarize(imatrix: Imatrix) -> Summary:
    """Read every value once more. Raises DiskError."""
    return Summary(imatrix, tuple(_summary(*entry) for entry in imatrix.entries.items()))


def _summary(name: str, entry: ImatrixEntry) -> TensorSummary:
    values = entry.read()
    groups = np.arange(entry.size) // (entry.size // len(entry.counts))
    # What was never seen has no importance of its own, unless nothing was.
    seen = np.flatnonzero(np.array(entry.counts)[groups] > 0)
    places = seen if seen.size else np.arange(entry.size)
    known = values[places]
    return TensorSummary(
        name,
        entry,
        float(known.mean(dtype=np.float64)),
        tuple(_column(entry, values, int(places[at])) for at in _largest(known)),
        tuple(_column(entry, values, int(places[at])) for at in _largest(-known)),
    )


def _largest(values: F32Array) -> NDArray[np.intp]:
    """Where the largest values are, the largest first and the earlier of equal ones first."""
    n = min(_NAMED, values.size)
    bound = np.partition(values, values.size - n)[values.size - n]
    places = np.flatnonzero(values >= bound)
    return places[np.argsort(-values[places], kind="stable")][:n]


def _column(entry: ImatrixEntry, values: F32Array, place: int) -> Column:
    per_group = entry.size // len(entry.counts)
    expert = place // per_group if len(entry.counts) > 1 else None
    return Column(expert, place % per_group, float(values[place]))
