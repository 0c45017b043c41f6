"""Jais 2: LayerNorm and biases everywhere, squared ReLU without a gate, RoPE over whole heads."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, biased, class_defaults
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, u32


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *biased("norm", "output_norm"),
        *decoder.HEAD,
        *biased("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
        *biased("layers.{bid}.post_attention_layernorm", "blk.{bid}.ffn_norm"),
        *decoder.attention(),
        *decoder.UNGATED_MLP,
    )


JAIS2 = Family(
    arch="jais2",
    keys=(*COMMON, u32("rope.dimension_count", lambda hp: hp.head_dim)),
    rules=_rules,
    defaults=class_defaults(rope_theta=500000.0),
)
