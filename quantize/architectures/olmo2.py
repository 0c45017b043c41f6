"""OLMo 2 and 3: norms after attention and MLP only, and over the full width of q and k."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.architectures import decoder
from quantize.architectures.family import Family, Rule, class_defaults
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, array, sliding_layers, u32


def _rules(hp: Hparams) -> tuple[Rule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.UNTIED_HEAD,
        *decoder.POST_NORMS,
        *decoder.QK_NORMS,
        *decoder.attention(),
        *decoder.MLP,
    )


_CLASS_DEFAULTS = class_defaults(rope_theta=10000.0, rms_norm_eps=1e-5)


def _defaults(config: Mapping[str, Any]) -> Mapping[str, Any]:
    filled = dict(_CLASS_DEFAULTS(config))
    if config.get("model_type") == "olmo3":
        kinds = ("sliding_attention",) * 3 + ("full_attention",)
        filled["sliding_window"] = 4096
        filled["layer_types"] = [kinds[bid % 4] for bid in range(config["num_hidden_layers"])]
    return filled


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
    defaults=_defaults,
)
