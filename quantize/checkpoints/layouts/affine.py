"""Weights that are scale * (code - zero point), in groups of columns.

Both operations are float32. Codes and zero points are small integers, so the difference is exact
and the product is rounded once, whatever the format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.arrays import F32Array
from quantize.checkpoints.base import (
    Reader,
    Weight,
)
from quantize.checkpoints.layouts.matrices import Matrix
from quantize.checkpoints.stored import read_all
from quantize.errors import CheckpointError
from quantize.tensors import (
    StoredTensor,
)


@dataclass(frozen=True, slots=True)
class Affine:
    """A weight and where its numbers are.

    Column c belongs to group `c // group`, or to `groups[c]` where that is stored; `count` is how
    many groups a row has. `zero` None: the codes are signed already.
    """

    name: str
    codes: Matrix
    scale: Matrix
    group: int
    count: int = 1
    zero: Matrix | None = None
    groups: StoredTensor | None = None

    def decode_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> F32Array:
        if hi <= lo:
            return np.empty((0, weight.shape[-1]), np.float32)
        stored = self.codes.rows(lo, hi, read)
        values = np.ascontiguousarray(stored, np.float32)
        index = self.index(weight, read)
        if self.zero is not None:
            zeros = self.zero.rows(lo, hi, read).astype(np.float32)
            for_groups(np.subtract, values, zeros, self.group, index)
        for_groups(np.multiply, values, self.scale.rows(lo, hi, read), self.group, index)
        return values

    def index(self, weight: Weight, read: Reader) -> NDArray[Any] | None:
        """The group of each column; None where the columns are in order of their groups."""
        if self.groups is None:
            return None
        groups, index = self.groups, read_all(self.groups, read)
        if np.array_equal(index, np.arange(weight.shape[-1]) // self.group):
            return None
        if len(index) and not 0 <= index.min() <= index.max() < self.count:
            raise CheckpointError(
                "bad-group-index",
                f"groups {index.min()} to {index.max()} of {self.count}",
                where=f"{groups.file}:{groups.name}",
                reason="it says which scale each column has",
                hint="download the checkpoint again",
            )
        return index


def for_groups(
    operation: np.ufunc,
    values: F32Array,
    table: F32Array,
    group: int,
    index: NDArray[Any] | None = None,
) -> None:
    """Combine `values` (n, cols) in place with the entry of each column's group, (n, groups)."""
    n, cols = values.shape
    if table.shape[1] == 1 or index is not None:
        operation(values, table if table.shape[1] == 1 else table[:, index], out=values)
        return
    whole = cols // group
    head = values[:, : whole * group].reshape(n, whole, group)
    operation(head, table[:, :whole, None], out=head)
    if whole * group < cols:
        tail = values[:, whole * group :]
        operation(tail, table[:, whole:], out=tail)
