"""Weights that were never quantized: each stored tensor is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.checkpoints.base import Reader, Weight
from quantize.checkpoints.layouts.plain import plain_weight
from quantize.tensors import StoredTensor


class Plain:
    name = "plain"
    nearest = None
    accepts = "F64, F32, F16, BF16, F8 without scales, and integers"

    def __init__(self, config: Mapping[str, Any]) -> None:
        """`config` is not looked at: plain weights have nothing to declare."""

    def resolve(self, stored: Mapping[str, StoredTensor], read: Reader) -> dict[str, Weight]:
        return {name: plain_weight(tensor) for name, tensor in stored.items()}
