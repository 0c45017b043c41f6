"""OLMo 2 and 3: norms after attention and MLP only, and over the full width of q and k."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, class_defaults
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, array, sliding_layers, u32


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.UNTIED_HEAD,
        *decoder.POST_NORMS,
        *decoder.QK_NORMS,
        *decoder.attention(),
        *decoder.MLP,
    )


OLMO2 = Family(
    arch="olmo2",
    keys=(
        *COMMON,
        u32("attention.sliding_window", "sliding_window"),
        array(
            "attention.sliding_window_pattern",
            "BOOL",
            lambda hp: sliding_layers(hp) if "sliding_window" in hp else None,
        ),
    ),
    rules=_rules,
    defaults=class_defaults(rope_theta=10000.0, rms_norm_eps=1e-5),
)


def _three_of_four(config: Mapping[str, Any]) -> list[str]:
    kinds = ("sliding_attention",) * 3 + ("full_attention",)
    return [kinds[bid % 4] for bid in range(config["num_hidden_layers"])]


OLMO3 = replace(
    OLMO2,
    defaults=class_defaults(
        rope_theta=10000.0, rms_norm_eps=1e-5, sliding_window=4096, layer_types=_three_of_four
    ),
)
