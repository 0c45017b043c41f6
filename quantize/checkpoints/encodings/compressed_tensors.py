"""compressed-tensors: several formats, and several groups of modules, in one checkpoint.

Which modules are quantized and how their parts are shaped follows from the tensors; quantization_
config's groups tell the bits and the blocks. A group's `targets` are names of modules, "re:" with
a pattern that is matched from a name's start, or names of classes, which come last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.checkpoints.base import Reader, Weight
from quantize.checkpoints.encodings.refusals import unknown_format
from quantize.checkpoints.layouts.affine import Affine
from quantize.checkpoints.layouts.grid import OnGrid, grid_of
from quantize.checkpoints.layouts.matrices import (
    E2M1Pairs,
    Numbers,
    PackedDown,
    PackedRows,
    Quotient,
    Single,
)
from quantize.checkpoints.layouts.mxfp4 import BLOCK, MXFP4Layout
from quantize.checkpoints.layouts.scaled import FLOAT8, SCALE_DTYPES, scaled_weight, spread
from quantize.checkpoints.modules import ACTIVATIONS, Modules, check_matrix, check_part
from quantize.checkpoints.patterns import matches
from quantize.checkpoints.stored import read_all
from quantize.errors import CheckpointError, UnsupportedError
from quantize.kernels.bitstream import Packing, in_words, stream
from quantize.tensors import StoredTensor

_FORMATS = (
    "pack-quantized", "int-quantized", "float-quantized", "naive-quantized",
    "mxfp4-pack-quantized", "mxfp8-quantized", "nvfp4-pack-quantized", "mixed-precision", "dense",
)  # fmt: skip
_NVFP4_GROUP = 16
_PATTERN = "re:"


class CompressedTensors:
    name = "compressed-tensors"
    nearest = "Q8_0"
    accepts = (
        "pack-, int- and float-quantized weights of 1 to 8 bits, mxfp4, mxfp8, nvfp4, "
        "several groups in a checkpoint"
    )

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._groups = [group for group in (config.get("config_groups") or {}).values() if group]
        declared = {config.get("format"), *(group.get("format") for group in self._groups)}
        unknown = sorted(name for name in declared if name and name not in _FORMATS)
        if unknown:
            message = f"compressed-tensors' {', '.join(unknown)} cannot be read yet"
            raise unknown_format(message, "format", "formats that can be read", _FORMATS)

    def resolve(self, stored: Mapping[str, StoredTensor], read: Reader) -> dict[str, Weight]:
        modules = Modules(stored)
        weights = {}
        for module in modules.having(".weight_packed"):
            codes = check_matrix(modules.need(module, ".weight_packed"), ("U8", "I32"))
            if codes.dtype == "U8":
                weight = self._four_bit_floats(module, modules, codes)
            else:
                weight = self._packed(module, modules, codes, read)
            weights[weight.name] = weight
        for module in modules.having(".weight", (*FLOAT8, "I8")):
            weights[f"{module}.weight"] = self._whole(module, modules)
        return modules.plain(drop=ACTIVATIONS) | weights

    def _whole(self, module: str, modules: Modules) -> Weight:
        """One code each: float-quantized, int-quantized, mxfp8-quantized."""
        codes = modules.need(module, ".weight")
        scale = modules.need(module, ".weight_scale")
        zero = modules.take(module, ".weight_zero_point")
        settings = self._settings(module)
        block = None
        if settings.get("strategy") == "block":
            height, width = settings["block_structure"]
            block = int(height), int(width)
        return scaled_weight(
            f"{module}.weight",
            self.name,
            codes,
            scale,
            zero=zero,
            block=block,
            exponents=scale.dtype == "U8",
        )

    def _four_bit_floats(self, module: str, modules: Modules, codes: StoredTensor) -> Weight:
        name = f"{module}.weight"
        rows, cols = codes.shape[0], codes.shape[1] * 2
        scale = modules.need(module, ".weight_scale")
        if scale.dtype == "U8":
            check_part(scale, ("U8",), (rows, cols // BLOCK))
            layout = MXFP4Layout(self.name)
            return Weight(name, (rows, cols), "BF16", layout, (codes, scale), exact_type="MXFP4")
        check_part(scale, ("F8_E4M3",), (rows, cols // _NVFP4_GROUP))
        common = check_part(modules.need(module, ".weight_global_scale"), ("F32",), (1,), ())
        factor = Quotient(Numbers(scale), Single(common))
        floats = Affine(self.name, E2M1Pairs(codes), factor, _NVFP4_GROUP)
        return Weight(name, (rows, cols), "BF16", floats, (codes, scale, common))

    def _packed(self, module: str, modules: Modules, codes: StoredTensor, read: Reader) -> Weight:
        shape = check_part(modules.need(module, ".weight_shape"), ("I64", "I32"), (2,))
        rows, cols = map(int, read_all(shape, read))
        bits = self._bits(module)
        # Older versions leave the top bits of a word unused where 32 is not a multiple.
        known = (stream(bits), in_words(bits))
        packing = next((one for one in known if one.word_count(cols) == codes.shape[1]), None)
        if packing is None or codes.shape[0] != rows:
            raise CheckpointError(
                "bad-part",
                f"{list(codes.shape)} words for a weight of {[rows, cols]} in {bits} bits",
                where=f"{codes.file}:{codes.name}",
                reason="quantization_config and the tensors contradict each other",
                hint="download config.json and the weights from the same revision",
            )
        scale = check_part(modules.need(module, ".weight_scale"), SCALE_DTYPES)
        index = modules.take(module, ".weight_g_idx")
        zero = modules.take(module, ".weight_zero_point")
        matrix, group = spread(scale, rows, cols)
        groups = cols // group
        parts = [codes, scale, shape]
        if index is not None:
            parts.append(check_part(index, ("I32", "I64"), (cols,)))
        if zero is not None:
            parts.append(_check_zero(zero, packing, rows, groups))
        # Codes and zero points are stored with the same offset, which cancels.
        middle = 1 << (bits - 1)
        layout = OnGrid(
            self.name,
            PackedRows(codes, packing, cols),
            matrix,
            group,
            count=groups,
            zero=Single(middle) if zero is None else PackedDown(zero, packing),
            groups=index,
            middle=middle,
        )
        on_grid = zero is None and index is None and len(scale.shape) == 2
        grid = grid_of(bits, cols, group, scale.dtype) if on_grid else None
        name = f"{module}.weight"
        return Weight(name, (rows, cols), scale.dtype, layout, tuple(parts), exact_type=grid)

    def _bits(self, module: str) -> int:
        bits = self._settings(module).get("num_bits")
        if not isinstance(bits, int) or not 1 <= bits <= 8:
            raise UnsupportedError(
                "unknown-quant-format",
                f"packed weights of {bits} bits cannot be read",
                where=module,
                reason="num_bits of the group that targets a module is from 1 to 8",
                hint="convert the unquantized checkpoint that this one was made from",
            )
        return bits

    def _settings(self, module: str) -> Mapping[str, Any]:
        """What quantization_config says of a module's weights: by its name, or by its class."""
        for fits in (_by_name, _by_pattern, _by_class):
            for group in self._groups:
                if any(fits(target, module) for target in group.get("targets") or ()):
                    return group.get("weights") or {}
        return {}


def _by_name(target: str, module: str) -> bool:
    return target == module


def _by_pattern(target: str, module: str) -> bool:
    return target.startswith(_PATTERN) and matches(target.removeprefix(_PATTERN), module)


def _by_class(target: str, module: str) -> bool:
    """Tensors do not show classes; a word without a dot that is not a pattern names one."""
    return "." not in target and not target.startswith(_PATTERN)


def _check_zero(zero: StoredTensor, packing: Packing, rows: int, groups: int) -> StoredTensor:
    return check_part(zero, ("I32",), (packing.word_count(rows), groups))
