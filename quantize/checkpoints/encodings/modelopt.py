"""NVIDIA ModelOpt: FP8 with one scale, and NVFP4 with scales in FP8 that share another.

FP8: `X.weight` F8_E4M3, `X.weight_scale`. NVFP4: `X.weight` U8 (rows, cols / 2), `X.weight_scale`
F8_E4M3 (rows, cols / 16), `X.weight_scale_2` one number, and value = code * scale * scale_2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.checkpoints.base import Reader, Weight
from quantize.checkpoints.encodings.refusals import unknown_format
from quantize.checkpoints.layouts.affine import Affine
from quantize.checkpoints.layouts.matrices import E2M1Pairs, Numbers, Product, Single
from quantize.checkpoints.layouts.scaled import FLOAT8, scaled_weight
from quantize.checkpoints.modules import ACTIVATIONS, Modules, check_matrix, check_part
from quantize.tensors import StoredTensor

_ALGORITHMS = ("FP8", "NVFP4", "FP8_PER_CHANNEL_PER_TOKEN", "W4A16_NVFP4")
_GROUP = 16


class ModelOpt:
    name = "modelopt"
    nearest = "Q8_0"
    accepts = "FP8 with a scale for each tensor or row, and NVFP4"

    def __init__(self, config: Mapping[str, Any]) -> None:
        # hf_quant_config.json has it one level deeper than config.json.
        algorithm = config.get("quant_algo") or config.get("quantization", {}).get("quant_algo")
        if algorithm is not None and algorithm not in _ALGORITHMS:
            message = f"ModelOpt's {algorithm} cannot be read yet"
            raise unknown_format(message, "quant_algo", "those that can", _ALGORITHMS)

    def resolve(self, stored: Mapping[str, StoredTensor], read: Reader) -> dict[str, Weight]:
        modules = Modules(stored)
        weights = {}
        for module in modules.having(".weight_scale_2"):
            weights[f"{module}.weight"] = self._nvfp4(module, modules)
        for module in modules.having(".weight", FLOAT8):
            name = f"{module}.weight"
            codes, scale = modules.need(module, ".weight"), modules.need(module, ".weight_scale")
            weights[name] = scaled_weight(name, self.name, codes, scale)
        return modules.plain(drop=ACTIVATIONS) | weights

    def _nvfp4(self, module: str, modules: Modules) -> Weight:
        codes = check_matrix(modules.need(module, ".weight"), ("U8",))
        rows, cols = codes.shape[0], codes.shape[1] * 2
        scale = check_part(
            modules.need(module, ".weight_scale"), ("F8_E4M3",), (rows, cols // _GROUP)
        )
        common = check_part(modules.need(module, ".weight_scale_2"), ("F32",), (), (1,))
        layout = Affine(
            self.name, E2M1Pairs(codes), Product(Numbers(scale), Single(common)), _GROUP
        )
        return Weight(f"{module}.weight", (rows, cols), "BF16", layout, (codes, scale, common))
