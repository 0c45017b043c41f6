"""Weights of one code each, and their scales apart, as many formats have them.

A scale's shape says what shares it: () or (1,) the whole weight, (rows, 1) or (rows,) a row,
(rows, groups) a group of columns, and with `block` a tile of that size, cut at the edges.
"""

from __future__ import annotations

from quantize.checkpoints.base import Weight
from quantize.checkpoints.layouts.grid import OnGrid, grid_of
from quantize.checkpoints.layouts.matrices import Integers, Matrix, Numbers, Single
from quantize.checkpoints.modules import check_part
from quantize.errors import CheckpointError
from quantize.tensors import StoredTensor, as_rows

SCALE_DTYPES = ("F32", "BF16", "F16")
FLOAT8 = ("F8_E4M3", "F8_E5M2")


def scaled_weight(
    name: str,
    encoding: str,
    codes: StoredTensor,
    scale: StoredTensor,
    *,
    zero: StoredTensor | None = None,
    block: tuple[int, int] | None = None,
    exponents: bool = False,
) -> Weight:
    """The weight scale * (code - zero); `exponents`: scales in U8 are F8_E8M0."""
    rows, cols = as_rows(codes.shape)
    allowed = ("U8",) if exponents else (*SCALE_DTYPES, "F8_E8M0")
    check_part(scale, allowed)
    matrix, group = spread(scale, rows, cols, block, "F8_E8M0" if exponents else None)
    parts: tuple[StoredTensor, ...] = (codes, scale)
    zeros = None
    if zero is not None:
        check_part(zero, ("I8", *SCALE_DTYPES), scale.shape)
        zeros, parts = spread(zero, rows, cols, block)[0], (*parts, zero)
    stored: Matrix = Numbers(codes) if codes.dtype in FLOAT8 else Integers(codes)
    layout = OnGrid(encoding, stored, matrix, group, count=cols // group, zero=zeros)
    signed = codes.dtype == "I8" and zero is None and len(scale.shape) == 2
    grid = grid_of(8, cols, group, scale.dtype) if signed else None
    return Weight(name, codes.shape, value_dtype(scale.dtype), layout, parts, exact_type=grid)


def spread(
    table: StoredTensor,
    rows: int,
    cols: int,
    block: tuple[int, int] | None = None,
    dtype: str | None = None,
) -> tuple[Matrix, int]:
    """A table of scales or zero points as a Matrix, and the columns that share an entry."""
    shape = table.shape
    if block is not None:
        tiles = (-(-rows // block[0]), -(-cols // block[1]))
        check_part(table, (table.dtype,), tiles)
        return Numbers(table, block[0], dtype), block[1]
    if shape in {(), (1,), (1, 1)} and rows != 1:
        return Single(table), cols
    if shape in {(rows,), (rows, 1)}:
        return Numbers(table, dtype=dtype), cols
    if len(shape) == 2 and shape[0] == rows and shape[1] and cols % shape[1] == 0:
        return Numbers(table, dtype=dtype), cols // shape[1]
    raise CheckpointError(
        "bad-part",
        f"{list(shape)} for a weight of {[rows, cols]}",
        where=f"{table.file}:{table.name}",
        reason="one number for all, for each row, or for equal groups of columns is expected",
        hint="download config.json and the weights from the same revision",
    )


def value_dtype(scale: str) -> str:
    """The precision that decoded values are meant to have."""
    return scale if scale in SCALE_DTYPES else "BF16"
