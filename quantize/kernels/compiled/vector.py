"""Vectors for compiled kernels: one variable holds a number for each of LANES blocks or weights.

Left to find vectors by itself, LLVM keeps running sums in memory and gives up on many a loop. Here
each operation is one LLVM instruction on a whole vector, which LLVM splits into the registers that
the machine has. Every lane computes what a float32 or int32 scalar would: nothing is reordered or
fused.

The bodies in this file say the same with NumPy. Compiled code never uses them; with
QUANTIZE_INTERPRET=1 all kernels are plain Python that runs them: they can be stepped through in a
debugger, and an access outside of an array is an IndexError.
"""

from __future__ import annotations

import operator
from typing import Any, Protocol, cast

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


class _IntLanes(np.ndarray[Any, np.dtype[np.int32]]):
    """The integers of interpreted kernels. NumPy's `>>` would repeat the sign."""

    def __rshift__(self, other: Any) -> Any:
        shifted = np.asarray(self).view(np.uint32) >> np.asarray(other).view(np.uint32)
        return _ints(shifted.view(np.int32))


def _ints(values: Any) -> Ints:
    return cast("Ints", np.asarray(values).astype(np.int32, copy=False).view(_IntLanes))


def _floats(values: Any) -> Floats:
    return cast("Floats", np.asarray(values).astype(np.float32, copy=False))


def _bools(mask: Mask) -> NDArray[np.bool_]:
    return np.asarray(mask, np.bool_)


def _window(array: NDArray[Any], at: int, size: int) -> NDArray[Any]:
    """Elements at..at + size. A slice beyond the end would be cut without a word."""
    if not 0 <= at <= array.size - size:
        raise IndexError(f"elements {at} to {at + size} of {array.size}")
    return array[at : at + size]


_ROWS = types.Array(types.float32, 1, "C", readonly=True)
_FLOAT_ARRAY = types.Array(types.float32, 1, "C")
_INT_ARRAY = types.Array(types.int32, 1, "C")
_BYTE_ARRAY = types.Array(types.uint8, 1, "C")


@lowers(instructions.load, FLOATS(_FLOAT_ARRAY, types.intp), FLOATS(_ROWS, types.intp))
def load(array: NDArray[np.float32], at: int) -> Floats:
    """LANES elements of a flat array from index `at`. Compiled code checks no bounds."""
    return _floats(_window(array, at, LANES).copy())


@lowers(instructions.load_bytes, FLOATS(_BYTE_ARRAY, types.intp))
def load_bytes(array: NDArray[np.uint8], at: int) -> Floats:
    """The same of a flat array of uint8, as numbers."""
    return _floats(_window(array, at, LANES))


@lowers(
    instructions.store,
    types.void(_FLOAT_ARRAY, types.intp, FLOATS),
    types.void(_INT_ARRAY, types.intp, INTS),
    types.void(_BYTE_ARRAY, types.intp, INTS),
)
def store(array: NDArray[Any], at: int, value: Floats | Ints) -> None:
    """Into a flat array of float32, of int32, or of uint8: then the low byte of each integer."""
    numbers = np.asarray(value)
    _window(array, at, LANES)[:] = numbers & 255 if array.dtype == np.uint8 else numbers


@lowers(instructions.repeat_element, FLOATS(_FLOAT_ARRAY, types.intp))
def splat_from(array: NDArray[np.float32], at: int) -> Floats:
    """The element at `at` of a flat array in every lane."""
    return _floats(np.full(LANES, _window(array, at, 1)[0]))


@emits(instructions.repeat(FLOATS), FLOATS(types.float32))
def splat(number: float | np.float32) -> Floats:
    """The same float32 in every lane."""
    return _floats(np.full(LANES, number, np.float32))


@emits(instructions.repeat(INTS), INTS(types.int32))
def splat_int(number: int) -> Ints:
    return _ints(np.full(LANES, number, np.int64))


@emits(IRBuilder.extract_element, types.int32(INTS, types.int32))
def lane(value: Ints, index: int) -> int:
    return int(np.asarray(value)[index])


@lowers(instructions.exchange, *(FLOATS(FLOATS, types.literal(i)) for i in (1, 2, 4, 8)))
def swap_lanes(value: Floats, distance: int) -> Floats:
    """Lane i gets what lane `i ^ distance` has; the distance is a literal."""
    return _floats(np.asarray(value)[np.arange(LANES) ^ distance])


@emits(IRBuilder.select, FLOATS(MASK, FLOATS, FLOATS))
def choose(mask: Mask, a: Floats, b: Floats) -> Floats:
    """`a` in the lanes where the mask holds, `b` elsewhere."""
    return _floats(np.where(_bools(mask), np.asarray(a), np.asarray(b)))


@emits(IRBuilder.select, INTS(MASK, INTS, INTS))
def choose_int(mask: Mask, a: Ints, b: Ints) -> Ints:
    return _ints(np.where(_bools(mask), np.asarray(a), np.asarray(b)))


@emits(instructions.compare("=="), MASK(FLOATS, FLOATS))
def equal(a: Floats, b: Floats) -> Mask:
    return cast("Mask", np.asarray(a) == np.asarray(b))


@emits(instructions.mask_to_int, types.int64(MASK))
def mask_bits(mask: Mask) -> int:
    """Bit i tells whether the mask holds in lane i."""
    return sum(1 << i for i, holds in enumerate(_bools(mask)) if holds)


@emits(convert(IRBuilder.bitcast, INTS), INTS(FLOATS))
def bits(value: Floats) -> Ints:
    return _ints(np.asarray(value, np.float32).view(np.int32))


@emits(convert(IRBuilder.bitcast, FLOATS), FLOATS(INTS))
def from_bits(value: Ints) -> Floats:
    return _floats(np.asarray(value).view(np.float32))


@emits(convert(IRBuilder.sitofp, FLOATS), FLOATS(INTS))
def to_float(value: Ints) -> Floats:
    """The same numbers as float32."""
    return _floats(value)


@emits(convert(IRBuilder.fptosi, INTS), INTS(FLOATS))
def truncate(value: Floats) -> Ints:
    """Numbers without their fractions, which have to fit in int32."""
    return _ints(np.trunc(np.asarray(value)))


@emits(call("rint"), FLOATS(FLOATS))
def rint(value: Floats) -> Floats:
    """The nearest whole numbers, half to even."""
    return _floats(np.rint(np.asarray(value)))


@emits(call("sqrt"), FLOATS(FLOATS))
def sqrt(value: Floats) -> Floats:
    return _floats(np.sqrt(np.asarray(value)))
