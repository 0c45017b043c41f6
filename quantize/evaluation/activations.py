"""The inputs of a model's matrix products, seen through llama.cpp's eval callback.

llama.cpp calls back for each node of its graph: first to ask whether the values are wanted, then
with the values computed. Where things are in its structs is not written down here but found out:
the callback's place by the defaults around it, the fields of a tensor by making tensors of odd
sizes and looking for these. A place that is not found exactly once is refused.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from ctypes import CDLL, c_bool, c_char_p, c_int, c_int64, c_size_t, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.arrays import F32Array
from quantize.evaluation.llama import Parameters, unknown_engine

I32Array = NDArray[np.int32]

# Inputs of one product, float32 (tokens, slots, cols), and which matrix of the stack each of them
# is for, (tokens, slots); None where there is one matrix.
Take = Callable[[str, str, F32Array, I32Array | None, int], None]


class _InitParams(ctypes.Structure):
    """ggml_init_params."""

    _fields_ = [("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool)]


_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "ggml_init": (c_void_p, [_InitParams]),
    "ggml_free": (None, [c_void_p]),
    "ggml_new_tensor_2d": (c_void_p, [c_void_p, c_int, c_int64, c_int64]),
    "ggml_new_tensor_3d": (c_void_p, [c_void_p, c_int, c_int64, c_int64, c_int64]),
    "ggml_mul_mat": (c_void_p, [c_void_p, c_void_p, c_void_p]),
    "ggml_mul_mat_id": (c_void_p, [c_void_p, c_void_p, c_void_p, c_void_p]),
    "ggml_op_desc": (c_char_p, [c_void_p]),
    "ggml_get_name": (c_char_p, [c_void_p]),
    "ggml_tensor_overhead": (c_size_t, []),
    "ggml_nbytes": (c_size_t, [c_void_p]),
    "ggml_backend_tensor_get": (None, [c_void_p, c_void_p, c_size_t, c_size_t]),
}
_F32, _I32 = 0, 26  # GGML_TYPE_F32, GGML_TYPE_I32
# ggml_object stands before each tensor of a context.
_OBJECT = 32
_PRODUCT, _PRODUCT_BY_ID = b"MUL_MAT", b"MUL_MAT_ID"
_COPY = re.compile(r"^.*#(.*)#\d+$")

_Callback = ctypes.CFUNCTYPE(c_bool, c_void_p, c_bool, c_void_p)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Byte offsets in ggml_tensor."""

    src: int
    ne: int
    nb: int


class Ggml:
    """The functions of ggml.h that are needed here, as attributes, and its tensors' layout."""

    def __init__(self, library: CDLL) -> None:
        for name, (result, arguments) in _FUNCTIONS.items():
            try:
                function = getattr(library, name)
            except AttributeError as error:
                raise unknown_engine(f"it has no {name}") from error
            function.restype, function.argtypes = result, arguments
            setattr(self, name.removeprefix("ggml_"), function)
        self.layout = self._found()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def _found(self) -> _Layout:
        context = self.init(_InitParams(mem_size=1 << 20, no_alloc=True))
        try:
            a = self.new_tensor_2d(context, _F32, 7, 5)
            b = self.new_tensor_2d(context, _F32, 7, 3)
            product = self.mul_mat(context, a, b)
            stack = self.new_tensor_3d(context, _F32, 7, 5, 11)
            ids = self.new_tensor_2d(context, _I32, 2, 3)
            inputs = self.new_tensor_3d(context, _F32, 7, 2, 3)
            by_id = self.mul_mat_id(context, stack, inputs, ids)
            ops = self.op_desc(product), self.op_desc(by_id)
            if ops != (_PRODUCT, _PRODUCT_BY_ID):
                raise unknown_engine(f"its products are called {ops}")
            layout = _Layout(
                src=self._place(product, [a, b, 0]),
                ne=self._place(a, [7, 5, 1, 1]),
                nb=self._place(a, [4, 28, 140, 140]),
            )
            again = _Layout(
                src=self._place(by_id, [stack, inputs, ids, 0]),
                ne=self._place(stack, [7, 5, 11, 1]),
                nb=self._place(stack, [4, 28, 140, 1540]),
            )
        finally:
            self.free(context)
        if layout != again:
            raise unknown_engine("its tensors have no one layout")
        return layout

    def _place(self, tensor: int, pattern: list[int]) -> int:
        size = self.tensor_overhead() - _OBJECT
        words = np.frombuffer(ctypes.string_at(tensor, size // 8 * 8), "<i8").tolist()
        length = len(pattern)
        found = [k for k in range(len(words)) if words[k : k + length] == pattern]
        if len(found) != 1:
            raise unknown_engine(f"a field of its tensors is found {len(found)} times")
        return 8 * found[0]

    def source(self, tensor: int, number: int) -> int:
        """The address of an operand."""
        place = tensor + self.layout.src + 8 * number
        return int(c_void_p.from_address(place).value or 0)

    def shape(self, tensor: int) -> list[int]:
        """Four sizes, in ggml's order."""
        return list((c_int64 * 4).from_address(tensor + self.layout.ne))

    def values(self, tensor: int, dtype: str) -> NDArray[Any]:
        """What a tensor of 32-bit values holds, with its shape in NumPy's order."""
        strides = list((c_size_t * 4).from_address(tensor + self.layout.nb))
        if strides[0] != np.dtype(dtype).itemsize:
            raise unknown_engine(f"inputs are {strides[0]} bytes wide, where 4 are known")
        data = np.empty(self.nbytes(tensor), np.uint8)
        self.backend_tensor_get(tensor, data.ctypes.data, 0, len(data))
        shape = self.shape(tensor)
        return np.lib.stride_tricks.as_strided(data.view(dtype), shape[::-1], strides[::-1])

    def name(self, tensor: int) -> str:
        """Without what a copy on another device has around it."""
        return _COPY.sub(r"\1", self.get_name(tensor).decode("utf-8", "replace"))


class Watcher:
    """Hands the inputs of wanted products to `take`, in the order in which llama.cpp computes.

    take(name, key, inputs, ids, matrices): `key` is the name of the product that had the same
    inputs just before, or `name` itself. Inputs are copies. Products of a stack without ids have
    their slots in order.
    """

    def __init__(self, library: CDLL, wanted: Callable[[str], bool], take: Take) -> None:
        self._ggml = Ggml(library)
        self._wanted, self._take = wanted, take
        self._last: tuple[tuple[int, ...], str] | None = None
        self._error: BaseException | None = None
        # Kept: llama.cpp calls it for as long as its context lives.
        self._callback = _Callback(self._called)

    def install(self, parameters: Parameters) -> None:
        """Put the callback into llama_context_params with their defaults."""
        raw = bytes(parameters)
        # cb_eval and its data, both null; type_k and type_v, both F16; abort_callback and its data.
        pattern = bytes(16) + b"\1\0\0\0\1\0\0\0" + bytes(16)
        found = [at for at in range(32, 512, 8) if raw[at : at + len(pattern)] == pattern]
        if len(found) != 1:
            raise unknown_engine(f"its eval callback is found {len(found)} times")
        place = c_void_p.from_address(ctypes.addressof(parameters) + found[0])
        place.value = ctypes.cast(self._callback, c_void_p).value

    def next_text(self) -> None:
        """Raise what went wrong in the callback; inputs from here on are new ones."""
        self._last = None
        if self._error is not None:
            raise self._error

    def _called(self, tensor: int, asks: bool, _: object) -> bool:  # noqa: FBT001 (llama.cpp's)
        # Nothing may be raised into llama.cpp.
        try:
            if asks:
                is_product = self._ggml.op_desc(tensor) in (_PRODUCT, _PRODUCT_BY_ID)
                return is_product and self._wanted(self._ggml.name(self._ggml.source(tensor, 0)))
            self._see(tensor)
        except BaseException as error:  # noqa: BLE001 - raised when llama.cpp is done
            self._error = error
            return False
        return True

    def _see(self, tensor: int) -> None:
        ggml = self._ggml
        weights, inputs = ggml.source(tensor, 0), ggml.source(tensor, 1)
        by_id = ggml.op_desc(tensor) == _PRODUCT_BY_ID
        operands = (inputs, ggml.source(tensor, 2)) if by_id else (inputs,)
        name, matrices = ggml.name(weights), ggml.shape(weights)[2]
        same = self._last is not None and self._last[0] == operands
        key = self._last[1] if same and self._last is not None else name
        self._last = (operands, key)
        values = ggml.values(inputs, "<f4")
        cols = ggml.shape(inputs)[0]
        if by_id:
            chosen: Any = ggml.values(ggml.source(tensor, 2), "<i4")
            ids = chosen[0, 0]
            tokens, used = ids.shape
            slots = np.broadcast_to(values[0], (tokens, used, cols))
            self._take(name, key, slots, ids, matrices)
        elif matrices == 1:
            self._take(name, key, values.reshape(-1, 1, cols), None, 1)
        else:
            stacked = values[0].transpose(1, 0, 2)
            numbers = np.arange(matrices, dtype=np.int32)
            ids = np.broadcast_to(numbers, (len(stacked), matrices))
            self._take(name, key, stacked, ids, matrices)
