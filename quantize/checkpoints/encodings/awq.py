"""AWQ in its GEMM version: `X.qweight` I32 (cols, rows / 8), eight neighbouring rows in a word.

`X.qzeros` (cols / group, rows / 8) is packed the same way, `X.scales` is (cols / group, rows).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.checkpoints.base import Reader, Weight
from quantize.checkpoints.layouts.affine import Affine
from quantize.checkpoints.layouts.matrices import PackedAcross, Transposed
from quantize.checkpoints.layouts.scaled import SCALE_DTYPES
from quantize.checkpoints.modules import Modules, check_matrix, check_part
from quantize.errors import UnsupportedError
from quantize.kernels.bitstream import ordered
from quantize.tensors import StoredTensor

_BITS = 4
# Which row of a word's eight each nibble belongs to, from the lowest.
_PACKING = ordered(_BITS, (0, 2, 4, 6, 1, 3, 5, 7))


class AWQ:
    name = "awq"
    nearest = "Q8_0"
    accepts = "4 bits, version gemm"

    def __init__(self, config: Mapping[str, Any]) -> None:
        version = str(config.get("version", "gemm")).lower()
        bits = config.get("bits", config.get("w_bit", _BITS))
        if version != "gemm" or bits != _BITS:
            raise UnsupportedError(
                "unknown-quant-format",
                f"AWQ weights of version {version!r} with {bits} bits cannot be read yet",
                where="config.json: quantization_config",
                reason="only version 'gemm' with 4 bits can be read",
                hint="convert the unquantized checkpoint that this one was made from",
            )
        self._group = config.get("group_size", config.get("q_group_size", -1))

    def resolve(self, stored: Mapping[str, StoredTensor], read: Reader) -> dict[str, Weight]:
        modules = Modules(stored)
        weights = {}
        for module in modules.having(".qweight"):
            weights[f"{module}.weight"] = self._weight(module, modules)
        return modules.plain() | weights

    def _weight(self, module: str, modules: Modules) -> Weight:
        codes = check_matrix(modules.need(module, ".qweight"), ("I32",))
        cols, words = codes.shape
        rows = words * _PACKING.codes
        size = self._group if isinstance(self._group, int) and self._group > 0 else cols
        groups = -(-cols // size)
        scales = check_part(modules.need(module, ".scales"), SCALE_DTYPES, (groups, rows))
        zeros = check_part(modules.need(module, ".qzeros"), ("I32",), (groups, words))
        layout = Affine(
            self.name,
            PackedAcross(codes, _PACKING),
            Transposed(scales),
            size,
            count=groups,
            zero=PackedAcross(zeros, _PACKING),
        )
        parts = (codes, scales, zeros)
        return Weight(f"{module}.weight", (rows, cols), scales.dtype, layout, parts)
