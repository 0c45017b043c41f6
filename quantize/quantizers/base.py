"""What a ggml type can do. Rows are independent, so any range of rows is a task of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.importance import Importance, row_energy
from quantize.tensors import GGMLType

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]
Blocks = NDArray[np.void]


class Quantizer(Protocol):
    """Arrays in, bytes out. Stateless: one instance serves every thread."""

    @property
    def type(self) -> GGMLType: ...

    def quantize(self, rows: F32Array, imatrix: F32Array | None = None) -> U8Array:
        """Float32 `(n, cols)` to uint8 `(n, cols / block_size * type_size)`.

        `imatrix` is `(cols,)`: how much each column matters; types that cannot use one ignore it.
        Values must be finite: `kernels.floats.check_finite` says so in one pass. Raises
        ValueError when a row is not a whole number of blocks or the matrix has another length.
        """
        ...

    def dequantize(self, data: U8Array) -> F32Array:
        """uint8 `(n, nbytes)` back to float32 `(n, cols)`."""
        ...


Encode = Callable[[F32Array, Blocks, Importance | None], None]
Decode = Callable[[Blocks], F32Array]


@dataclass(frozen=True, slots=True)
class BlockQuantizer:
    """A quantizer made of two functions on blocks.

    `layout` is the structure of one stored block. `encode(blocks, out, importance)` reads float32
    `(n, block_size)` and fills `n` structures; `decode` gives the float32 back. At most `chunk`
    blocks are handed to either, which bounds their scratch and keeps it in the cache. Types that
    `needs_imatrix` is set for are not made without one: ValueError, where ggml ends the process.
    """

    type: GGMLType
    layout: np.dtype[np.void]
    encode: Encode
    decode: Decode
    chunk: int
    takes_imatrix: bool = False
    needs_imatrix: bool = False

    def quantize(self, rows: F32Array, imatrix: F32Array | None = None) -> U8Array:
        n, cols = rows.shape
        out = np.empty((n, self.type.row_nbytes(cols)), np.uint8)
        if self.needs_imatrix and imatrix is None:
            raise ValueError(f"{self.type.name} needs an importance matrix")
        blocks = np.ascontiguousarray(rows, np.float32).reshape(-1, self.type.block_size)
        packed = out.reshape(-1).view(self.layout)
        cut = None if imatrix is None or not self.takes_imatrix else _Cutter(rows, imatrix, self)
        with np.errstate(all="ignore"):
            for lo in range(0, len(blocks), self.chunk):
                part = slice(lo, min(lo + self.chunk, len(blocks)))
                self.encode(blocks[part], packed[part], None if cut is None else cut(part))
        return out

    def dequantize(self, data: U8Array) -> F32Array:
        n, nbytes = data.shape
        if nbytes % self.type.type_size:
            raise ValueError(f"{nbytes} bytes are not a whole number of {self.type.name} blocks")
        cols = nbytes // self.type.type_size * self.type.block_size
        out = np.empty((n, cols), np.float32)
        blocks = out.reshape(-1, self.type.block_size)
        packed = np.ascontiguousarray(data).reshape(-1).view(self.layout)
        with np.errstate(all="ignore"):
            for lo in range(0, len(blocks), self.chunk):
                blocks[lo : lo + self.chunk] = self.decode(packed[lo : lo + self.chunk])
        return out


class _Cutter:
    """Hands out the part of an importance matrix that belongs to a range of blocks."""

    def __init__(self, rows: F32Array, imatrix: F32Array, quantizer: BlockQuantizer) -> None:
        if imatrix.shape != rows.shape[1:]:
            raise ValueError(f"an importance matrix of {imatrix.shape} for rows of {rows.shape[1]}")
        self._columns = np.asarray(imatrix, np.float32).reshape(-1, quantizer.type.block_size)
        self._row_energy = cache(partial(row_energy, rows))

    def __call__(self, part: slice) -> Importance:
        row, block = np.divmod(np.arange(part.start, part.stop), len(self._columns))
        return Importance(self._columns[block], lambda: self._row_energy()[row])
