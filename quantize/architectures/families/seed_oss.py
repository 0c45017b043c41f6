"""ByteDance's Seed-OSS: Qwen 2's block, whose second norm llama.cpp names after the first half."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *tensor("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
        *tensor("layers.{bid}.post_attention_layernorm", "blk.{bid}.post_attention_norm"),
        *decoder.attention(),
        *decoder.MLP,
    )


SEED_OSS = Family(
    arch="seed_oss",
    keys=COMMON,
    rules=_rules,
    defaults=class_defaults(head_dim=128, rope_theta=10000.0, rms_norm_eps=1e-6),
)
