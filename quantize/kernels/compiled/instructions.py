"""How the operations of `vector` become LLVM instructions, by Numba's interface for extensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, Signature, infer_global
from numba.extending import lower_builtin, models, register_model

# Two superblocks of Q4_K and Q5_K, one of Q6_K, half a block of 32: their kernels count on it.
LANES = 16

_BYTES = ir.VectorType(ir.IntType(8), LANES)
_INDEX = ir.IntType(32)

F = TypeVar("F")

# From a builder and LLVM values to the LLVM value of the result.
Instruction = Callable[..., Any]


class Vector(types.Type):
    """LANES elements of one LLVM type."""

    def __init__(self, name: str, element: ir.Type) -> None:
        super().__init__(f"{name} x {LANES}")
        self.vector = ir.VectorType(element, LANES)


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: object, kind: Vector) -> None:
        super().__init__(manager, kind, kind.vector)  # type: ignore[no-untyped-call]  # Numba's


FLOATS = Vector("float32", ir.FloatType())
INTS = Vector("int32", ir.IntType(32))
MASK = Vector("bool", ir.IntType(1))


def emits(instruction: Instruction, *signatures: Signature) -> Callable[[F], F]:
    """A function or operator that kernels may use with these types, and what it becomes."""

    def lower(context: Any, builder: ir.IRBuilder, signature: Signature, args: Any) -> Any:
        return instruction(builder, *args)

    return lowers(lower, *signatures)


def lowers(lower: Callable[..., Any], *signatures: Signature) -> Callable[[F], F]:
    """The same with `lower(context, builder, signature, args)`, which sees the types."""
    template = type("Template", (ConcreteTemplate,), {"cases": list(signatures)})

    def register(function: F) -> F:
        infer_global(function, types.Function(type("Template", (template,), {"key": function})))
        for signature in signatures:
            lower_builtin(function, *signature.args)(lower)
        return function

    return register


def compare(sign: str) -> Instruction:
    return lambda builder, a, b: builder.fcmp_ordered(sign, a, b)


def compare_int(sign: str) -> Instruction:
    return lambda builder, a, b: builder.icmp_signed(sign, a, b)


def convert(method: Callable[..., Any], result: Vector) -> Instruction:
    return lambda builder, value: method(builder, value, result.vector)


def call(name: str) -> Instruction:
    """A function that LLVM has for float32."""

    def instruction(builder: ir.IRBuilder, value: ir.Value) -> Any:
        kind = ir.FunctionType(value.type, [value.type])
        full_name = f"llvm.{name}.v{LANES}f32"
        return builder.call(
            cgutils.get_or_insert_function(builder.module, kind, full_name), [value]
        )

    return instruction


def repeat(result: Vector) -> Instruction:
    def instruction(builder: ir.IRBuilder, scalar: ir.Value) -> Any:
        undefined = ir.Constant(result.vector, ir.Undefined)
        return _shuffle(builder, builder.insert_element(undefined, scalar, _INDEX(0)), [0] * LANES)

    return instruction


def mask_to_int(builder: ir.IRBuilder, mask: ir.Value) -> Any:
    return builder.zext(builder.bitcast(mask, ir.IntType(LANES)), ir.IntType(64))


def exchange(context: Any, builder: ir.IRBuilder, signature: Signature, args: Any) -> Any:
    distance = signature.args[1].literal_value
    return _shuffle(builder, args[0], [i ^ distance for i in range(LANES)])


def load(context: Any, builder: ir.IRBuilder, signature: Signature, args: Any) -> Any:
    return builder.load(_pointer(context, builder, signature, args, FLOATS.vector), align=4)


def repeat_element(context: Any, builder: ir.IRBuilder, signature: Signature, args: Any) -> Any:
    element = builder.load(_pointer(context, builder, signature, args, ir.FloatType()))
    return repeat(FLOATS)(builder, element)


def load_bytes(context: Any, builder: ir.IRBuilder, signature: Signature, args: Any) -> Any:
    value = builder.load(_pointer(context, builder, signature, args, _BYTES), align=1)
    return builder.uitofp(value, FLOATS.vector)


def store(context: Any, builder: ir.IRBuilder, signature: Signature, args: Any) -> Any:
    value, size = args[2], 4
    if signature.args[0].dtype == types.uint8:
        value, size = builder.trunc(value, _BYTES), 1
    builder.store(value, _pointer(context, builder, signature, args, value.type), align=size)
    return context.get_dummy_value()


def _pointer(
    context: Any, builder: ir.IRBuilder, signature: Signature, args: Any, kind: ir.Type
) -> Any:
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.bitcast(builder.gep(array.data, [args[1]]), kind.as_pointer())


def _shuffle(builder: ir.IRBuilder, value: ir.Value, order: list[int]) -> Any:
    lanes = ir.Constant(ir.VectorType(_INDEX, LANES), order)
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), lanes)
