"""GPTQ: `X.qweight` I32 (cols * bits / 32, rows), one bit stream down each column.

`X.scales` is (groups, rows), `X.qzeros` (groups, rows * bits / 32) with streams along rows, and
`X.g_idx` the group of every input column, which with act-order is not its place. Format 1 stores
zero points less one, in the 32-bit words as a whole, so a zero point of 0 borrows from the next;
3-bit codes are lessened one by one. Format 2 stores them as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantize.arrays import U8Array
from quantize.checkpoints.base import (
    Reader,
    Weight,
)
from quantize.checkpoints.layouts.grid import OnGrid, grid_of
from quantize.checkpoints.layouts.matrices import (
    Matrix,
    PackedAcross,
    PackedColumns,
    Transposed,
)
from quantize.checkpoints.layouts.scaled import SCALE_DTYPES
from quantize.checkpoints.modules import Modules, check_matrix, check_part
from quantize.checkpoints.patterns import matches
from quantize.checkpoints.stored import read_all
from quantize.errors import CheckpointError, UnsupportedError
from quantize.kernels.bitstream import Packing, stream
from quantize.tensors import (
    StoredTensor,
)

_BITS = (2, 3, 4, 8)
_FORMATS = {"gptq": 1, "gptq_v2": 2}


@dataclass(frozen=True, slots=True)
class _Increased:
    """Codes of three bits plus one, each by itself."""

    codes: Matrix

    def rows(self, lo: int, hi: int, read: Reader) -> U8Array:
        codes: U8Array = self.codes.rows(lo, hi, read)
        return codes + np.uint8(1) & np.uint8(7)


class GPTQ:
    name = "gptq"
    nearest = "Q8_0"
    accepts = "2, 3, 4 and 8 bits, act-order, formats 1 and 2, settings for single modules"

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        declared = config.get("checkpoint_format") or config.get("format") or "gptq"
        if declared not in _FORMATS:
            raise UnsupportedError(
                "unknown-quant-format",
                f"GPTQ weights in the format {declared!r} cannot be read yet",
                where="config.json: quantization_config.checkpoint_format",
                reason=f"formats that can be read: {', '.join(_FORMATS)}",
                hint="convert the unquantized checkpoint that this one was made from",
            )
        self._version = _FORMATS[declared]

    def resolve(self, stored: Mapping[str, StoredTensor], read: Reader) -> dict[str, Weight]:
        modules = Modules(stored)
        weights = {}
        for module in modules.having(".qweight"):
            weights[f"{module}.weight"] = self._weight(module, modules)
            bias = stored.get(f"{module}.bias")
            # Older programs wrote a bias of zeros where the model has none.
            if bias is not None and not read_all(bias, read).any():
                modules.take(module, ".bias")
        return modules.plain() | weights

    def _weight(self, module: str, modules: Modules) -> Weight:
        packing = stream(self._bits(module))
        codes = check_matrix(modules.need(module, ".qweight"), ("I32",))
        scales = check_matrix(modules.need(module, ".scales"), SCALE_DTYPES)
        rows, cols = codes.shape[1], codes.shape[0] * 32 // packing.bits
        groups = scales.shape[0]
        check_part(scales, SCALE_DTYPES, (groups, rows))
        zeros = check_part(
            modules.need(module, ".qzeros"), ("I32",), (groups, packing.word_count(rows))
        )
        index = modules.take(module, ".g_idx")
        size = self._group_size(module, cols)
        if -(-cols // size) != groups:
            raise _bad_groups(scales, groups, cols, size)
        parts: tuple[StoredTensor, ...] = (codes, scales, zeros)
        if index is not None:
            parts = (*parts, check_part(index, ("I32", "I64"), (cols,)))
        symmetric = self._config.get("sym") is True and not self._config.get("desc_act")
        grid = grid_of(packing.bits, cols, size, scales.dtype) if symmetric else None
        layout = OnGrid(
            self.name,
            PackedColumns(codes, packing, cols),
            Transposed(scales),
            size,
            count=groups,
            zero=self._zeros(zeros, packing),
            groups=index,
            middle=1 << (packing.bits - 1),
        )
        return Weight(
            f"{module}.weight", (rows, cols), scales.dtype, layout, parts, exact_type=grid
        )

    def _zeros(self, tensor: StoredTensor, packing: Packing) -> Matrix:
        if self._version == 2:
            return PackedAcross(tensor, packing)
        if packing.bits == 3:
            return _Increased(PackedAcross(tensor, packing))
        ones = sum(1 << start for start in packing.starts)
        return PackedAcross(tensor, packing, carry=ones)

    def _bits(self, module: str) -> int:
        bits = self._setting(module, "bits")
        if bits not in _BITS:
            raise UnsupportedError(
                "unknown-quant-format",
                f"GPTQ weights of {bits} bits cannot be read",
                where=module,
                reason=f"bits that can be read: {', '.join(map(str, _BITS))}",
                hint="convert the unquantized checkpoint that this one was made from",
            )
        return int(bits)

    def _group_size(self, module: str, cols: int) -> int:
        size = self._setting(module, "group_size")
        return size if isinstance(size, int) and size > 0 else cols

    def _setting(self, module: str, key: str) -> Any:
        """`dynamic` maps patterns of module names to other settings; the first that fits counts."""
        dynamic = self._config.get("dynamic") or {}
        for pattern, settings in dynamic.items():
            if matches(pattern.removeprefix("+:"), module) and key in settings:
                return settings[key]
        return self._config.get(key)


def _bad_groups(scales: StoredTensor, groups: int, cols: int, size: int) -> CheckpointError:
    return CheckpointError(
        "bad-part",
        f"{groups} groups where {cols} columns in groups of {size} belong",
        where=f"{scales.file}:{scales.name}",
        reason="group_size of quantization_config and the scales contradict each other",
        hint="download config.json and the weights from the same revision",
    )
