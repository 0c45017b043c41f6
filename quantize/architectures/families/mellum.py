"""JetBrains' Mellum 2: Qwen 3's mixture of experts with a window in most blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from quantize.architectures.families.qwen_moe import QWEN3_MOE
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, array, sliding_layers, u32


def _windowed(hp: Hparams) -> Any:
    return hp.get("sliding_window") if hp.get("use_sliding_window") in (None, True) else None


MELLUM = replace(
    QWEN3_MOE,
    arch="mellum",
    keys=(
        *COMMON,
        u32("expert_feed_forward_length", "moe_intermediate_size"),
        u32("attention.sliding_window", _windowed),
        array(
            "attention.sliding_window_pattern",
            "BOOL",
            lambda hp: None if _windowed(hp) is None else sliding_layers(hp),
        ),
    ),
)
