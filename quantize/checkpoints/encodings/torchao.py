"""torchao as transformers 5 saves it: `X._weight_qdata` with `X._weight_scale`, in safetensors.

int8 has `X._weight_zero_point` as well. Older versions pickled their tensors, which is never read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.checkpoints.base import Reader, Weight
from quantize.checkpoints.layouts.scaled import FLOAT8, scaled_weight
from quantize.checkpoints.modules import Modules, check_part
from quantize.tensors import StoredTensor

_CODES = "._weight_qdata"


class TorchAO:
    name = "torchao"
    nearest = "Q8_0"
    accepts = "int8 and float8 weights of transformers 5, with scales for rows or groups"

    def __init__(self, config: Mapping[str, Any]) -> None:
        """`config` names Python classes; the tensors say what is stored."""

    def resolve(self, stored: Mapping[str, StoredTensor], read: Reader) -> dict[str, Weight]:
        modules = Modules(stored)
        weights = {}
        for module in modules.having(_CODES):
            name = f"{module}.weight"
            codes = check_part(modules.need(module, _CODES), ("I8", *FLOAT8))
            scale = modules.need(module, "._weight_scale")
            zero = modules.take(module, "._weight_zero_point")
            weights[name] = scaled_weight(name, self.name, codes, scale, zero=zero)
        return modules.plain() | weights
