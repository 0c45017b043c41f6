"""Cohere's Command R7B and A: Command R with a window in three blocks of four."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures.families.command_r import COMMAND_R
from quantize.architectures.families.gptneox import rotary_dimensions
from quantize.architectures.family import class_defaults
from quantize.architectures.keys import COMMON, f32, string, u32

COHERE2 = replace(
    COMMAND_R,
    arch="cohere2",
    keys=(
        *COMMON,
        f32("logit_scale", "logit_scale"),
        u32("attention.sliding_window", "sliding_window"),
        u32("vocab_size", "vocab_size"),
        u32("rope.dimension_count", rotary_dimensions),
        string("rope.scaling.type", lambda hp: "none"),
    ),
    defaults=class_defaults(
        rope_theta=10000.0,
        layer_norm_eps=1e-5,
        logit_scale=0.0625,
        sliding_window=4096,
        max_position_embeddings=8192,
        head_dim=lambda config: config["hidden_size"] // config["num_attention_heads"],
    ),
)
