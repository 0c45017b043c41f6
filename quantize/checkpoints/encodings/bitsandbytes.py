"""bitsandbytes: NF4 and FP4 in blocks of the flattened weight, and LLM.int8() in rows.

4 bits: `X.weight` has two codes a byte, the first in the *high* half, under whatever dtype;
`X.weight.absmax` a scale for each block, `X.weight.quant_map` the 16 values, and
`X.weight.quant_state.bitsandbytes__nf4` (or `__fp4`) the bytes of a JSON text with the shape.
"Double" quantization stores the scales as 8-bit codes with scales and an offset of their own.
8 bits: value = code * X.SCB / 127 for each row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantize.arrays import F32Array
from quantize.checkpoints.base import (
    Reader,
    Weight,
)
from quantize.checkpoints.layouts.affine import Affine
from quantize.checkpoints.layouts.matrices import Integers, Numbers, Quotient, Single
from quantize.checkpoints.modules import Modules, check_part
from quantize.checkpoints.stored import read_all, read_bytes, read_rows
from quantize.errors import CheckpointError
from quantize.tensors import (
    Shape,
    StoredTensor,
    as_rows,
    count,
)

_STATES = (".weight.quant_state.bitsandbytes__nf4", ".weight.quant_state.bitsandbytes__fp4")
_HIGHEST = 127
_NESTED = (".weight.nested_absmax", ".weight.nested_quant_map")


@dataclass(frozen=True, slots=True)
class Nested:
    """Scales that are quantized themselves, in blocks of `block`."""

    codes: StoredTensor
    absmax: StoredTensor
    values: StoredTensor
    block: int
    offset: float

    def scales(self, lo: int, hi: int, read: Reader) -> F32Array:
        table = read_rows(self.values, 0, 256, read)[:, 0]
        first = lo // self.block
        absmax = read_rows(self.absmax, first, (hi - 1) // self.block + 1, read)[:, 0]
        scales: F32Array = table[read_bytes(self.codes, lo, hi, read)]
        scales *= absmax[np.arange(lo, hi) // self.block - first]
        scales += np.float32(self.offset)
        return scales


@dataclass(frozen=True, slots=True)
class Scales:
    tensor: StoredTensor

    def scales(self, lo: int, hi: int, read: Reader) -> F32Array:
        found: F32Array = read_rows(self.tensor, lo, hi, read)[:, 0]
        return found


@dataclass(frozen=True, slots=True)
class FourBits:
    """Blocks run over the flattened weight, whatever its rows."""

    codes: StoredTensor
    values: StoredTensor
    absmax: Nested | Scales
    block: int
    name: str = "bitsandbytes"

    def decode_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> F32Array:
        cols = as_rows(weight.shape)[1]
        start, stop = lo * cols, hi * cols
        if start == stop:
            return np.empty((0, cols), np.float32)
        first, last = start // self.block, (stop - 1) // self.block + 1
        skipped = first * self.block
        end = min(last * self.block, count(weight.shape))
        packed = read_bytes(self.codes, skipped // 2, (end + 1) // 2, read)
        table = read_all(self.values, read)
        padded = np.empty((last - first) * self.block, np.float32)
        values = padded[: 2 * len(packed)]
        values[0::2] = table[packed >> 4]
        values[1::2] = table[packed & 15]
        padded[len(values) :] = 0
        blocks = padded.reshape(-1, self.block)
        blocks *= self.absmax.scales(first, last, read)[:, None]
        return padded[start - skipped : stop - skipped].reshape(hi - lo, cols).copy()


class BitsAndBytes:
    name = "bitsandbytes"
    nearest = "Q8_0"
    accepts = "NF4 and FP4, with double quantization or without, and LLM.int8()"

    def __init__(self, config: Mapping[str, Any]) -> None:
        """`config` says how to quantize; the tensors say what was."""

    def resolve(self, stored: Mapping[str, StoredTensor], read: Reader) -> dict[str, Weight]:
        modules = Modules(stored)
        weights = {}
        for end in _STATES:
            for module in modules.having(end):
                state = modules.need(module, end)
                weights[f"{module}.weight"] = _four_bits(module, modules, state, read)
        for module in modules.having(".SCB"):
            weights[f"{module}.weight"] = _eight_bits(module, modules)
        for module in modules.having(".weight", ("I8",)):
            modules.need(module, ".SCB")  # codes alone are not weights
        return modules.plain(drop=(".weight_format",)) | weights


def _four_bits(module: str, modules: Modules, tensor: StoredTensor, read: Reader) -> Weight:
    state = _state(tensor, read)
    shape, block = _shape(state, tensor), state["blocksize"]
    total = count(shape)
    codes = modules.need(module, ".weight")
    values = check_part(modules.need(module, ".weight.quant_map"), ("F32",), (16,))
    absmax = modules.need(module, ".weight.absmax")
    check_part(absmax, ("F32", "U8"), (-(-total // block),))
    parts = [codes, values, absmax]
    scales: Nested | Scales = Scales(absmax)
    if absmax.dtype == "U8":
        size = state.get("nested_blocksize", 256)
        offset = float(state.get("nested_offset", 0.0))
        outer, table = (modules.need(module, end) for end in _NESTED)
        check_part(outer, ("F32",), (-(-count(absmax.shape) // size),))
        check_part(table, ("F32",), (256,))
        scales = Nested(absmax, outer, table, size, offset)
        parts += [outer, table]
    if codes.nbytes != (total + 1) // 2 or block % 2:
        raise CheckpointError(
            "bad-part",
            f"{codes.nbytes} bytes for a weight of {list(shape)} in blocks of {block}",
            where=f"{codes.file}:{codes.name}",
            reason="two codes share a byte",
            hint="download the checkpoint again",
        )
    dtype = {"bfloat16": "BF16", "float16": "F16"}.get(str(state.get("dtype")), "F32")
    layout = FourBits(codes, values, scales, block)
    return Weight(f"{module}.weight", shape, dtype, layout, tuple(parts))


def _eight_bits(module: str, modules: Modules) -> Weight:
    codes = check_part(modules.need(module, ".weight"), ("I8",))
    rows, cols = as_rows(codes.shape)
    scale = check_part(modules.need(module, ".SCB"), ("F32",), (rows,))
    factor = Quotient(Numbers(scale), Single(float(_HIGHEST)))
    layout = Affine(BitsAndBytes.name, Integers(codes), factor, cols)
    return Weight(f"{module}.weight", codes.shape, "F32", layout, (codes, scale))


def _state(tensor: StoredTensor, read: Reader) -> dict[str, Any]:
    try:
        state = json.loads(read_all(tensor, read).tobytes())
    except ValueError as error:
        raise _bad_state(tensor, str(error)) from error
    if not isinstance(state, dict) or not isinstance(state.get("blocksize"), int):
        raise _bad_state(tensor, "a JSON object with shape and blocksize is expected")
    return state


def _shape(state: Mapping[str, Any], tensor: StoredTensor) -> Shape:
    shape = state.get("shape")
    if not isinstance(shape, list) or not all(isinstance(n, int) and n > 0 for n in shape):
        raise _bad_state(tensor, f"its shape is {shape!r}")
    return tuple(shape)


def _bad_state(tensor: StoredTensor, reason: str) -> CheckpointError:
    return CheckpointError(
        "bad-quant-state",
        "the description of a 4-bit weight cannot be read",
        where=f"{tensor.file}:{tensor.name}",
        reason=reason,
        hint="download the checkpoint again",
    )
