"""Vectors for compiled kernels: one variable holds a number for each of LANES blocks or weights.

Left to find vectors by itself, LLVM keeps running sums in memory and gives up on many a loop. Here
each operation is one LLVM instruction on a whole vector, which LLVM splits into the registers that
the machine has. Every lane computes what a float32 or int32 scalar would: nothing is reordered or
fused. Vectors live only inside compiled functions, and Python never runs a body of this file.
"""

from __future__ import annotations

import operator
from typing import Any, Protocol

import numpy as np
from llvmlite.ir import IRBuilder
from numba import types
from numpy.typing import NDArray

from quantize.kernels.compiled import instructions
from quantize.kernels.compiled.instructions import FLOATS, INTS, MASK, call, convert, emits, lowers

LANES = instructions.LANES


class Floats(Protocol):
    """A float32 in every lane."""

    def __add__(self, other: Floats, /) -> Floats: ...
    def __sub__(self, other: Floats, /) -> Floats: ...
    def __mul__(self, other: Floats, /) -> Floats: ...
    def __truediv__(self, other: Floats, /) -> Floats: ...
    def __abs__(self) -> Floats: ...
    def __lt__(self, other: Floats, /) -> Mask: ...
    def __gt__(self, other: Floats, /) -> Mask: ...


class Ints(Protocol):
    """An int32 in every lane; `>>` shifts zeros in."""

    def __add__(self, other: Ints, /) -> Ints: ...
    def __sub__(self, other: Ints, /) -> Ints: ...
    def __and__(self, other: Ints, /) -> Ints: ...
    def __or__(self, other: Ints, /) -> Ints: ...
    def __lshift__(self, other: Ints, /) -> Ints: ...
    def __rshift__(self, other: Ints, /) -> Ints: ...
    def __lt__(self, other: Ints, /) -> Mask: ...
    def __gt__(self, other: Ints, /) -> Mask: ...


class Mask(Protocol):
    """A truth in every lane; comparisons with NaN are false."""

    def __and__(self, other: Mask, /) -> Mask: ...
    def __or__(self, other: Mask, /) -> Mask: ...
    def __invert__(self) -> Mask: ...


emits(IRBuilder.fadd, FLOATS(FLOATS, FLOATS))(operator.add)
emits(IRBuilder.fsub, FLOATS(FLOATS, FLOATS))(operator.sub)
emits(IRBuilder.fmul, FLOATS(FLOATS, FLOATS))(operator.mul)
emits(IRBuilder.fdiv, FLOATS(FLOATS, FLOATS))(operator.truediv)
emits(call("fabs"), FLOATS(FLOATS))(abs)
emits(instructions.compare("<"), MASK(FLOATS, FLOATS))(operator.lt)
emits(instructions.compare(">"), MASK(FLOATS, FLOATS))(operator.gt)
emits(IRBuilder.add, INTS(INTS, INTS))(operator.add)
emits(IRBuilder.sub, INTS(INTS, INTS))(operator.sub)
emits(IRBuilder.shl, INTS(INTS, INTS))(operator.lshift)
emits(IRBuilder.lshr, INTS(INTS, INTS))(operator.rshift)
emits(instructions.compare_int("<"), MASK(INTS, INTS))(operator.lt)
emits(instructions.compare_int(">"), MASK(INTS, INTS))(operator.gt)
emits(IRBuilder.and_, INTS(INTS, INTS), MASK(MASK, MASK))(operator.and_)
emits(IRBuilder.or_, INTS(INTS, INTS), MASK(MASK, MASK))(operator.or_)
emits(IRBuilder.not_, MASK(MASK))(operator.invert)

_ROWS = types.Array(types.float32, 1, "C", readonly=True)
_FLOAT_ARRAY = types.Array(types.float32, 1, "C")
_INT_ARRAY = types.Array(types.int32, 1, "C")
_BYTE_ARRAY = types.Array(types.uint8, 1, "C")


@lowers(instructions.load, FLOATS(_FLOAT_ARRAY, types.intp), FLOATS(_ROWS, types.intp))
def load(array: NDArray[np.float32], at: int) -> Floats:
    """LANES elements of a flat array from index `at`. As in `store`, nobody checks bounds."""
    raise NotImplementedError


@lowers(instructions.load_bytes, FLOATS(_BYTE_ARRAY, types.intp))
def load_bytes(array: NDArray[np.uint8], at: int) -> Floats:
    """The same of a flat array of uint8, as numbers."""
    raise NotImplementedError


@lowers(
    instructions.store,
    types.void(_FLOAT_ARRAY, types.intp, FLOATS),
    types.void(_INT_ARRAY, types.intp, INTS),
    types.void(_BYTE_ARRAY, types.intp, INTS),
)
def store(array: NDArray[Any], at: int, value: Floats | Ints) -> None:
    """Into a flat array of float32, of int32, or of uint8: then the low byte of each integer."""
    raise NotImplementedError


@lowers(instructions.repeat_element, FLOATS(_FLOAT_ARRAY, types.intp))
def splat_from(array: NDArray[np.float32], at: int) -> Floats:
    """The element at `at` of a flat array in every lane."""
    raise NotImplementedError


@emits(instructions.repeat(FLOATS), FLOATS(types.float32))
def splat(number: float | np.float32) -> Floats:
    """The same float32 in every lane."""
    raise NotImplementedError


@emits(instructions.repeat(INTS), INTS(types.int32))
def splat_int(number: int) -> Ints:
    raise NotImplementedError


@emits(IRBuilder.extract_element, types.int32(INTS, types.int32))
def lane(value: Ints, index: int) -> int:
    raise NotImplementedError


@lowers(instructions.exchange, *(FLOATS(FLOATS, types.literal(i)) for i in (1, 2, 4, 8)))
def peers(value: Floats, distance: int) -> Floats:
    """Lane i gets what lane `i ^ distance` has; the distance is a literal."""
    raise NotImplementedError


@emits(IRBuilder.select, FLOATS(MASK, FLOATS, FLOATS))
def choose(mask: Mask, a: Floats, b: Floats) -> Floats:
    """`a` in the lanes where the mask holds, `b` elsewhere."""
    raise NotImplementedError


@emits(IRBuilder.select, INTS(MASK, INTS, INTS))
def choose_int(mask: Mask, a: Ints, b: Ints) -> Ints:
    raise NotImplementedError


@emits(instructions.compare("=="), MASK(FLOATS, FLOATS))
def equal(a: Floats, b: Floats) -> Mask:
    raise NotImplementedError


@emits(instructions.mask_to_int, types.int64(MASK))
def mask_bits(mask: Mask) -> int:
    """Bit i tells whether the mask holds in lane i."""
    raise NotImplementedError


@emits(convert(IRBuilder.bitcast, INTS), INTS(FLOATS))
def bits(value: Floats) -> Ints:
    raise NotImplementedError


@emits(convert(IRBuilder.bitcast, FLOATS), FLOATS(INTS))
def from_bits(value: Ints) -> Floats:
    raise NotImplementedError


@emits(convert(IRBuilder.sitofp, FLOATS), FLOATS(INTS))
def to_float(value: Ints) -> Floats:
    """The same numbers as float32."""
    raise NotImplementedError


@emits(convert(IRBuilder.fptosi, INTS), INTS(FLOATS))
def truncate(value: Floats) -> Ints:
    """Numbers without their fractions, which have to fit in int32."""
    raise NotImplementedError


@emits(call("rint"), FLOATS(FLOATS))
def rint(value: Floats) -> Floats:
    """The nearest whole numbers, half to even."""
    raise NotImplementedError


@emits(call("sqrt"), FLOATS(FLOATS))
def sqrt(value: Floats) -> Floats:
    raise NotImplementedError
