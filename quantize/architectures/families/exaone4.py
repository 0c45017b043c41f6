"""EXAONE 4: norms after attention and MLP, and on each head of q and k; windowed layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from quantize.architectures import decoder
from quantize.architectures.family import OTHER_MODALITIES, Family, TensorRule, class_defaults
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, array, sliding_layers, u32


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *decoder.POST_NORMS,
        *decoder.QK_NORMS,
        *decoder.attention(),
        *decoder.MLP,
    )


def _layer_types(config: Mapping[str, Any]) -> list[str] | None:
    """From the older `sliding_window_pattern`: "LLLG", or the 4 that is its length."""
    pattern = config.get("sliding_window_pattern", 4)
    if isinstance(pattern, int):
        pattern = "L" * (pattern - 1) + "G"
    if not pattern:
        return None
    kinds = {"L": "sliding_attention", "G": "full_attention"}
    return [kinds[pattern[bid % len(pattern)]] for bid in range(config["num_hidden_layers"])]


EXAONE4 = Family(
    arch="exaone4",
    keys=(
        *COMMON,
        u32("vocab_size", "vocab_size"),
        u32("attention.sliding_window", "sliding_window"),
        array(
            "attention.sliding_window_pattern",
            "BOOL",
            lambda hp: None if hp.get("sliding_window") is None else sliding_layers(hp),
        ),
    ),
    rules=_rules,
    defaults=class_defaults(
        rope_theta=10000.0, rms_norm_eps=1e-5, sliding_window=4096, layer_types=_layer_types
    ),
    generated=decoder.llama3_rope_freqs,
)

EXAONE4_5 = replace(EXAONE4, unused=OTHER_MODALITIES)
