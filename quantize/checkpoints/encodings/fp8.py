"""FP8 with scales: DeepSeek's and Qwen's blocks, one scale for a tensor, and FBGEMM's rows.

`X.weight` is F8_E4M3 (or F8_E5M2). With `weight_block_size` each tile has its entry in
`X.weight_scale_inv`; without, there is one number, under that name or `X.weight_scale`. Despite
"inv" all are multiplied. fbgemm_fp8 has a scale for each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.checkpoints.base import Reader, Weight
from quantize.checkpoints.layouts.scaled import FLOAT8, scaled_weight
from quantize.checkpoints.modules import ACTIVATIONS, Modules
from quantize.errors import CheckpointError
from quantize.tensors import StoredTensor

_SCALES = (".weight_scale_inv", ".weight_scale")


class FP8:
    name = "fp8"
    nearest = "Q8_0"
    accepts = "F8_E4M3 or F8_E5M2 with a scale for each block, row or tensor"

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._block = _block_size(config.get("weight_block_size"))

    def resolve(self, stored: Mapping[str, StoredTensor], read: Reader) -> dict[str, Weight]:
        modules = Modules(stored)
        weights = {}
        for module in modules.having(".weight", FLOAT8):
            name = f"{module}.weight"
            codes, scale = modules.need(module, ".weight"), modules.need(module, *_SCALES)
            block = self._block if len(scale.shape) == 2 else None
            weights[name] = scaled_weight(name, self.name, codes, scale, block=block)
        return modules.plain(drop=ACTIVATIONS) | weights


class FBGEMM(FP8):
    """The same without blocks: config.json has other keys."""

    name = "fbgemm_fp8"
    accepts = "F8_E4M3 with a scale for each row"


def _block_size(declared: Any) -> tuple[int, int] | None:
    if declared is None:
        return None
    if (
        isinstance(declared, list)
        and len(declared) == 2
        and all(isinstance(size, int) and size > 0 for size in declared)
    ):
        return declared[0], declared[1]
    raise CheckpointError(
        "bad-quantization-config",
        f"weight_block_size is {declared!r}",
        where="config.json: quantization_config",
        reason="it is [rows, columns] of the blocks that have a scale, or null",
        hint="download config.json again",
    )
