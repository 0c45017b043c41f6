"""Matrices that a layout is put together from: codes, scales and zero points, row by row.

Each gives rows lo..hi of the *weight*, whichever way round it is stored: codes (hi - lo, cols),
scales and zero points (hi - lo, groups), one group where all columns share an entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantize.arrays import F32Array, U8Array
from quantize.checkpoints.base import (
    Reader,
)
from quantize.checkpoints.stored import read_all, read_columns, read_rows, widen
from quantize.kernels.bitstream import Packing
from quantize.kernels.small_floats import decode_e2m1_pairs
from quantize.tensors import (
    StoredTensor,
)


class Matrix(Protocol):
    """Part of a weight. Frozen and picklable."""

    def rows(self, lo: int, hi: int, read: Reader) -> NDArray[Any]:
        """What belongs to rows lo..hi of the weight, in the narrowest dtype that holds it."""
        ...


@dataclass(frozen=True, slots=True)
class Numbers:
    """One number for each `shared` rows, in a matrix or (with one column) a vector.

    `dtype` reads the bytes as another dtype than the one stored (U8 that are F8_E8M0).
    """

    tensor: StoredTensor
    shared: int = 1
    dtype: str | None = None

    def rows(self, lo: int, hi: int, read: Reader) -> F32Array:
        first = lo // self.shared
        stored = read_rows(self.tensor, first, (hi - 1) // self.shared + 1, read)
        values = widen(stored, self.dtype or self.tensor.dtype)
        if self.shared == 1:
            return values
        return values[np.arange(lo, hi) // self.shared - first]


@dataclass(frozen=True, slots=True)
class Transposed:
    """Numbers whose columns are the weight's rows."""

    tensor: StoredTensor

    def rows(self, lo: int, hi: int, read: Reader) -> F32Array:
        return widen(read_columns(self.tensor, lo, hi, read), self.tensor.dtype).T


@dataclass(frozen=True, slots=True)
class Single:
    """One number for the whole weight: a tensor of one element, or a constant."""

    value: StoredTensor | float

    def rows(self, lo: int, hi: int, read: Reader) -> F32Array:
        if isinstance(self.value, StoredTensor):
            return widen(read_all(self.value, read), self.value.dtype).reshape(1, 1)
        return np.full((1, 1), self.value, np.float32)


@dataclass(frozen=True, slots=True)
class Product:
    left: Matrix
    right: Matrix

    def rows(self, lo: int, hi: int, read: Reader) -> F32Array:
        product: F32Array = np.multiply(self.left.rows(lo, hi, read), self.right.rows(lo, hi, read))
        return product


@dataclass(frozen=True, slots=True)
class Quotient:
    left: Matrix
    right: Matrix

    def rows(self, lo: int, hi: int, read: Reader) -> F32Array:
        with np.errstate(divide="ignore", invalid="ignore"):  # check_rows names the weight
            ratio: F32Array = np.divide(self.left.rows(lo, hi, read), self.right.rows(lo, hi, read))
        return ratio


@dataclass(frozen=True, slots=True)
class Integers:
    """Small integers (I8), one for each weight."""

    tensor: StoredTensor

    def rows(self, lo: int, hi: int, read: Reader) -> NDArray[Any]:
        return read_rows(self.tensor, lo, hi, read)


@dataclass(frozen=True, slots=True)
class E2M1Pairs:
    """Two 4-bit floats a byte, the even column in the low half."""

    tensor: StoredTensor

    def rows(self, lo: int, hi: int, read: Reader) -> F32Array:
        return decode_e2m1_pairs(read_rows(self.tensor, lo, hi, read))


@dataclass(frozen=True, slots=True)
class PackedRows:
    """`cols` codes of each row packed along it: I32 (rows, words)."""

    tensor: StoredTensor
    packing: Packing
    cols: int

    def rows(self, lo: int, hi: int, read: Reader) -> U8Array:
        words = read_rows(self.tensor, lo, hi, read).view("<u4")
        return self.packing.unpack(words)[:, : self.cols]


@dataclass(frozen=True, slots=True)
class PackedColumns:
    """The transpose of PackedRows: `cols` codes of each row packed down a column."""

    tensor: StoredTensor
    packing: Packing
    cols: int

    def rows(self, lo: int, hi: int, read: Reader) -> U8Array:
        words = read_columns(self.tensor, lo, hi, read).view("<u4")
        return self.packing.unpack(np.ascontiguousarray(words.T))[:, : self.cols]


@dataclass(frozen=True, slots=True)
class PackedAcross:
    """Codes of neighbouring *rows* share words: I32 (cols, words), each word from several rows.

    `carry` is added to each word, modulo 2**32, before its codes are taken.
    """

    tensor: StoredTensor
    packing: Packing
    carry: int = 0

    def rows(self, lo: int, hi: int, read: Reader) -> U8Array:
        unit, words = self.packing.codes, self.packing.words
        first, last = lo // unit, (hi - 1) // unit + 1
        end = min(last * words, self.tensor.shape[1])
        stored = read_columns(self.tensor, first * words, end, read).view("<u4")
        codes = self.packing.unpack(stored + np.uint32(self.carry))
        return codes[:, lo - first * unit : hi - first * unit].T


@dataclass(frozen=True, slots=True)
class PackedDown:
    """Codes of neighbouring rows share words, one above the other: I32 (words, cols)."""

    tensor: StoredTensor
    packing: Packing

    def rows(self, lo: int, hi: int, read: Reader) -> U8Array:
        unit, words = self.packing.codes, self.packing.words
        first, last = lo // unit, (hi - 1) // unit + 1
        end = min(last * words, self.tensor.shape[0])
        stored = read_rows(self.tensor, first * words, end, read).view("<u4")
        codes = self.packing.unpack(np.ascontiguousarray(stored.T))
        return codes[:, lo - first * unit : hi - first * unit].T
