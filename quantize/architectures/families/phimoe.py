"""Phi 3.5 MoE: Mixtral's experts, LayerNorms with biases, Phi 3's two tables of RoPE factors."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures import decoder
from quantize.architectures.families.llama import MIXTRAL_MOE
from quantize.architectures.families.phi3 import PHI3
from quantize.architectures.family import TensorRule, biased
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import u32


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *biased("norm", "output_norm"),
        *biased("lm_head", "output"),
        *biased("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
        *biased("layers.{bid}.post_attention_layernorm", "blk.{bid}.ffn_norm"),
        *decoder.attention(),
        *MIXTRAL_MOE,
    )


PHIMOE = replace(
    PHI3,
    arch="phimoe",
    keys=(
        *PHI3.keys,
        u32("expert_used_count", "num_experts_per_tok"),
        u32("expert_count", "num_local_experts"),
    ),
    rules=_rules,
    unused=(),
)
