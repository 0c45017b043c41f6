"""What every floor says about tensors: source dtypes, ggml types, shapes as rows and columns.

Shapes are in NumPy's order: `shape[-1]` is cols, the length of a row. GGUF writes dimensions the
other way round. A tensor of one dimension is n rows of one column, so that whatever moves rows
(the RoPE permutation, splits, joins) moves the elements of a bias in the same way.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

Shape = tuple[int, ...]

# Bytes per element of the dtypes that safetensors headers name.
DTYPE_SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1,
    "U64": 8, "U32": 4, "U16": 2, "U8": 1,
    "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GGMLType:
    """A ggml type: `block_size` elements are stored in `type_size` bytes."""

    name: str
    id: int
    block_size: int
    type_size: int

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.type_size / self.block_size

    def fits(self, cols: int) -> bool:
        """Whether a row of `cols` elements is a whole number of blocks."""
        return cols % self.block_size == 0

    def row_nbytes(self, cols: int) -> int:
        """Bytes of one row. Raises ValueError if the row is not a whole number of blocks."""
        if not self.fits(cols):
            raise ValueError(f"a row of {cols} is not a whole number of {self.name} blocks")
        return cols // self.block_size * self.type_size


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies in a source: `nbytes` bytes at `offset` from the start of `file`.

    `dtype` is a name of DTYPE_SIZES in safetensors files, a name of GGML_TYPES in GGUF files.
    """

    name: str
    dtype: str
    shape: Shape
    file: str
    offset: int
    nbytes: int


# ggml.h, enum ggml_type, with the block layouts of ggml-common.h.
GGML_TYPES = {
    t.name: t
    for t in (
        GGMLType("F32", 0, 1, 4),
        GGMLType("F16", 1, 1, 2),
        GGMLType("Q4_0", 2, 32, 18),
        GGMLType("Q4_1", 3, 32, 20),
        GGMLType("Q5_0", 6, 32, 22),
        GGMLType("Q5_1", 7, 32, 24),
        GGMLType("Q8_0", 8, 32, 34),
        GGMLType("Q2_K", 10, 256, 84),
        GGMLType("Q3_K", 11, 256, 110),
        GGMLType("Q4_K", 12, 256, 144),
        GGMLType("Q5_K", 13, 256, 176),
        GGMLType("Q6_K", 14, 256, 210),
        GGMLType("IQ2_XXS", 16, 256, 66),
        GGMLType("IQ2_XS", 17, 256, 74),
        GGMLType("IQ3_XXS", 18, 256, 98),
        GGMLType("IQ1_S", 19, 256, 50),
        GGMLType("IQ4_NL", 20, 32, 18),
        GGMLType("IQ3_S", 21, 256, 110),
        GGMLType("IQ2_S", 22, 256, 82),
        GGMLType("IQ4_XS", 23, 256, 136),
        GGMLType("I8", 24, 1, 1),
        GGMLType("I16", 25, 1, 2),
        GGMLType("I32", 26, 1, 4),
        GGMLType("I64", 27, 1, 8),
        GGMLType("F64", 28, 1, 8),
        GGMLType("IQ1_M", 29, 256, 56),
        GGMLType("BF16", 30, 1, 2),
        GGMLType("TQ1_0", 34, 256, 54),
        GGMLType("TQ2_0", 35, 256, 66),
        GGMLType("MXFP4", 39, 32, 17),
        GGMLType("NVFP4", 40, 64, 36),
        GGMLType("Q1_0", 41, 128, 18),
        GGMLType("Q2_0", 42, 64, 18),
    )
}
# The ggml types that hold a weight as it is, or rounded to fewer bits.
FLOAT_TYPES = frozenset({"F32", "F16", "BF16"})
GGML_TYPES_BY_ID = {t.id: t for t in GGML_TYPES.values()}


# The beginning of the GGUF name of a tensor in a block.
BLOCK = re.compile(r"blk\.(\d+)\.")


def block_of(name: str) -> int | None:
    """The number of the block that a tensor of this GGUF name belongs to.

    >>> block_of("blk.12.attn_q.weight"), block_of("output_norm.weight")
    (12, None)
    """
    match = BLOCK.match(name)
    return int(match[1]) if match else None


def count(shape: Shape) -> int:
    """Number of elements."""
    return math.prod(shape)


def as_rows(shape: Shape) -> tuple[int, int]:
    """A shape as (rows, cols). () is one row of one; (n,) is n rows of one."""
    if len(shape) < 2:
        return (math.prod(shape), 1)
    return (math.prod(shape[:-1]), shape[-1])


def tensor_nbytes(type_name: str, shape: Shape) -> int:
    """Bytes that a tensor takes in a GGUF file, without padding."""
    kind = GGML_TYPES[type_name]
    row = shape[-1] if shape else 1
    rows = math.prod(shape[:-1]) if shape else 1
    return rows * kind.row_nbytes(row)
