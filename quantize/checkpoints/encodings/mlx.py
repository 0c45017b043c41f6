"""MLX: `X.weight` U32 (..., rows, words), codes of a few bits in one stream along each row.

`X.scales` and `X.biases` are (..., rows, groups): a value is scale * code + bias. config.json has
`quantization` (newer programs say the same in quantization_config): bits and group_size for all
modules, and under a module's name its own, or false. mlx_lm stacks experts in three dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from quantize.checkpoints.base import Reader, Weight
from quantize.checkpoints.layouts.matrices import Numbers, PackedRows
from quantize.checkpoints.layouts.scaled import SCALE_DTYPES
from quantize.checkpoints.layouts.shifted import Shifted, shifted_grid
from quantize.checkpoints.modules import Modules, check_matrix, check_part
from quantize.errors import UnsupportedError
from quantize.kernels.bitstream import stream
from quantize.tensors import StoredTensor

_BITS = (2, 3, 4, 5, 6, 8)
_WORD = 32

# mlx_lm stacks the experts of a module of this name; in a Hugging Face checkpoint each has its own.
_STACKED = ".switch_mlp."
# Names of their matrices that differ, by the end of what is in front (Mixtral, Nemotron-H).
_RENAMED = {
    ".block_sparse_moe": {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"},
    ".mixer": {"fc1": "up_proj", "fc2": "down_proj"},
}

Parts = tuple[StoredTensor, StoredTensor, StoredTensor]


class MLX:
    name = "mlx"
    nearest = "Q8_0"
    accepts = "affine weights of 2, 3, 4, 5, 6 and 8 bits, settings for single modules"

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config

    def resolve(self, stored: Mapping[str, StoredTensor], read: Reader) -> dict[str, Weight]:
        modules = Modules(stored)
        weights = {}
        for module in modules.having(".weight", ("U32",)):
            ends = (".weight", ".scales", ".biases")
            codes, scales, biases = (modules.need(module, end) for end in ends)
            for name, parts in _matrices(module, (codes, scales, biases)):
                weights[name] = self._weight(module, name, parts)
        return modules.plain() | weights

    def _weight(self, module: str, name: str, parts: Parts) -> Weight:
        bits, group = self._settings(module)
        codes, scales, biases = parts
        check_matrix(scales, SCALE_DTYPES)
        rows, groups = scales.shape
        cols = groups * group
        check_part(codes, ("U32",), (rows, cols * bits // _WORD))
        check_part(biases, (scales.dtype,), scales.shape)
        layout = Shifted(
            self.name,
            PackedRows(codes, stream(bits), cols),
            Numbers(scales),
            Numbers(biases),
            group,
        )
        grid = shifted_grid(bits, group, scales.dtype)
        return Weight(name, (rows, cols), scales.dtype, layout, parts, exact_type=grid)

    def _settings(self, module: str) -> tuple[int, int]:
        """Bits and group size. Raises UnsupportedError for what is not affine, CheckpointError."""
        own = self._config.get(module)
        settings = {**self._config, **(own if isinstance(own, Mapping) else {})}
        mode, bits, group = settings.get("mode", "affine"), settings["bits"], settings["group_size"]
        if mode != "affine" or bits not in _BITS:
            raise UnsupportedError(
                "unknown-quant-format",
                f"MLX weights of mode {mode!r} with {bits} bits cannot be read yet",
                where=module,
                reason=f"only mode 'affine' can be read, with {', '.join(map(str, _BITS))} bits",
                hint="convert the unquantized checkpoint that this one was made from, "
                "or what `mlx_lm.convert --dequantize` makes of it",
            )
        if type(group) is not int or group <= 0:
            raise ValueError(f"{module}: group_size {group!r}")
        return int(bits), group


def _matrices(module: str, parts: Parts) -> Iterator[tuple[str, Parts]]:
    """The name of each weight and its parts: one, or as many as there are stacked experts."""
    above, stacked, below = module.rpartition(_STACKED)
    if not stacked:
        yield f"{module}.weight", parts
        return
    names = next((names for end, names in _RENAMED.items() if above.endswith(end)), {})
    below = names.get(below, below)
    counts = {part.shape[0] for part in parts if len(part.shape) == len(("expert", "row", "col"))}
    if len(counts) != 1 or not all(all(part.shape) for part in parts):
        raise ValueError(f"{module}: parts of the shapes {[list(p.shape) for p in parts]}")
    for expert in range(*counts):
        codes, scales, biases = (_expert(part, expert) for part in parts)
        yield f"{above}.experts.{expert}.{below}.weight", (codes, scales, biases)


def _expert(part: StoredTensor, expert: int) -> StoredTensor:
    """One matrix of a stack."""
    size = part.nbytes // part.shape[0]
    return replace(part, shape=part.shape[1:], offset=part.offset + expert * size, nbytes=size)
