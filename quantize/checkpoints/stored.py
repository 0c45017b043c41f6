"""Stored tensors as arrays: rows or columns of a matrix, widened to float32 where they are numbers.

A format that packs weights the other way round has its output rows in columns. Reading a range of
columns touches every stored row: where these are short, whole rows are read through in pieces and
cut, which costs less than a call for each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.arrays import F32Array, U8Array
from quantize.checkpoints.base import (
    Reader,
)
from quantize.kernels.floats import decode_bf16
from quantize.kernels.small_floats import decode_e4m3, decode_e5m2, decode_e8m0
from quantize.tensors import (
    DTYPE_SIZES,
    StoredTensor,
    as_rows,
)

NUMPY_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "<u1",
    "F8_E4M3": "<u1", "F8_E5M2": "<u1", "F8_E8M0": "<u1",
}  # fmt: skip

_DECODERS: dict[str, Callable[[NDArray[Any]], F32Array]] = {
    "BF16": decode_bf16,
    "F8_E4M3": decode_e4m3,
    "F8_E5M2": decode_e5m2,
    "F8_E8M0": decode_e8m0,
}

_PIECE = 1 << 18  # bytes read at once of a matrix whose rows are cut
_FAR = 1 << 16  # bytes from one row to the next from which on reading between them costs more


def read_rows(tensor: StoredTensor, lo: int, hi: int, read: Reader) -> NDArray[Any]:
    """Rows lo..hi (of tensors.as_rows) in the dtype as stored: (hi - lo, cols)."""
    cols = as_rows(tensor.shape)[1]
    size = DTYPE_SIZES[tensor.dtype]
    data = read(tensor, lo * cols * size, (hi - lo) * cols * size)
    return np.frombuffer(data, NUMPY_DTYPES[tensor.dtype]).reshape(hi - lo, cols)


def read_columns(tensor: StoredTensor, lo: int, hi: int, read: Reader) -> NDArray[Any]:
    """Columns lo..hi of a matrix in the dtype as stored: (rows, hi - lo)."""
    rows, cols = tensor.shape
    size = DTYPE_SIZES[tensor.dtype]
    stride = cols * size
    out = np.empty((rows, hi - lo), NUMPY_DTYPES[tensor.dtype])
    if stride < _FAR:
        step = max(1, _PIECE // stride)
        for row in range(0, rows, step):
            piece = read_rows(tensor, row, min(row + step, rows), read)
            out[row : row + step] = piece[:, lo:hi]
        return out
    for row in range(rows):
        data = read(tensor, row * stride + lo * size, (hi - lo) * size)
        out[row] = np.frombuffer(data, out.dtype)
    return out


def read_all(tensor: StoredTensor, read: Reader) -> NDArray[Any]:
    """A small tensor, whole and flat, in the dtype as stored."""
    return np.frombuffer(read(tensor, 0, tensor.nbytes), NUMPY_DTYPES[tensor.dtype])


def widen(values: NDArray[Any], dtype: str) -> F32Array:
    """Stored values of a safetensors dtype as float32, always a fresh array."""
    decoder = _DECODERS.get(dtype)
    if decoder is not None:
        return decoder(values)
    with np.errstate(over="ignore"):  # of F64: infinities are refused by whoever reads them
        return values.astype(np.float32)


def read_bytes(tensor: StoredTensor, lo: int, hi: int, read: Reader) -> U8Array:
    """Bytes lo..hi of a tensor's data, whatever its dtype."""
    return np.frombuffer(read(tensor, lo, hi - lo), np.uint8)
