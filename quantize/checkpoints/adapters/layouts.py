"""Weights with an adapter's part merged in, row by row.

Each layout wraps the weight that it changes, so that adapters go on top of any encoding and of one
another. The adapter's own tensors are in other files than the base's, and are read from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quantize.arrays import F32Array
from quantize.checkpoints.base import (
    Reader,
    Weight,
    read_stored,
)
from quantize.checkpoints.layouts.matrices import Matrix, Numbers
from quantize.checkpoints.stored import read_rows, widen
from quantize.kernels.low_rank import add_low_rank, row_norms
from quantize.storage.source import ByteSource
from quantize.tensors import (
    StoredTensor,
)


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """Where the tensors of an adapter are read from."""

    source: ByteSource

    def read(self, tensor: StoredTensor, offset: int, nbytes: int) -> memoryview:
        return read_stored(self.source, tensor, offset, nbytes)


@dataclass(frozen=True, slots=True)
class LowRank:
    """base + scale * left @ right. `left` has the weight's rows, `right` is (rank, cols).

    DoRA: each row is then given the length that `magnitude` has for it.
    """

    base: Weight
    files: AdapterFiles
    left: Matrix
    right: Matrix
    rank: int
    scale: float
    magnitude: StoredTensor | None = None

    @property
    def name(self) -> str:
        return f"{self.base.encoding} + LoRA"

    def decode_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> F32Array:
        values = self.base.decode_rows(lo, hi, read)
        if hi <= lo:
            return values
        left = self.left.rows(lo, hi, self.files.read)
        right = self.right.rows(0, self.rank, self.files.read)
        add_low_rank(values, left, right, self.scale)
        if self.magnitude is not None:
            lengths = Numbers(self.magnitude).rows(lo, hi, self.files.read)
            with np.errstate(divide="ignore", invalid="ignore"):  # check_rows names the weight
                values *= lengths / row_norms(values)
        return values


@dataclass(frozen=True, slots=True)
class Replaced:
    """The adapter has the whole weight."""

    files: AdapterFiles
    name: str = "from the adapter"

    def decode_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> F32Array:
        tensor = weight.parts[-1]
        return widen(read_rows(tensor, lo, hi, self.files.read), tensor.dtype)


@dataclass(frozen=True, slots=True)
class ReplacedRows:
    """The adapter has rows `indices`, in that order."""

    base: Weight
    files: AdapterFiles
    tensor: StoredTensor
    indices: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.base.encoding} + rows from the adapter"

    def decode_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> F32Array:
        values = self.base.decode_rows(lo, hi, read)
        for place, row in enumerate(self.indices):
            if lo <= row < hi:
                stored = read_rows(self.tensor, place, place + 1, self.files.read)
                values[row - lo] = widen(stored, self.tensor.dtype)
        return values


def held_by(right: StoredTensor, rank: int, cols: int) -> int:
    """Bytes that `right` takes as it is stored, and as float32."""
    return right.nbytes + 4 * rank * cols
