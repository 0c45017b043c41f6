"""Weights that were never quantized: each stored tensor is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.checkpoints.base import Reader, Weight
from quantize.checkpoints.layouts.plain import plain_weight
from quantize.errors import CheckpointError
from quantize.tensors import StoredTensor


class Plain:
    name = "plain"
    nearest = None
    accepts = "F64, F32, F16, BF16, F8 without scales, and integers"

    def __init__(self, config: Mapping[str, Any]) -> None:
        """`config` is not looked at: plain weights have nothing to declare."""

    def resolve(self, stored: Mapping[str, StoredTensor], read: Reader) -> dict[str, Weight]:
        """Raises CheckpointError for what MLX quantized: bits and groups are in config.json."""
        for name, tensor in stored.items():
            module = name.removesuffix(".weight")
            if tensor.dtype == "U32" and f"{module}.scales" in stored:
                raise CheckpointError(
                    "missing-quantization",
                    "words and scales of MLX, but nothing says of how many bits",
                    where=name,
                    reason='config.json has no "quantization" with "bits" and "group_size"',
                    hint="copy that entry from the config.json of the model that was fine-tuned",
                )
        return {name: plain_weight(tensor) for name, tensor in stored.items()}
