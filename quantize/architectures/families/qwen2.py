"""Qwen 2 and 2.5, dense: Llama's block with biases on q, k and v, and RoPE in halves."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures.decoder import (
    EMBEDDING,
    HEAD,
    MLP,
    NORMS,
    OUTPUT_NORM,
    attention,
)
from quantize.architectures.family import (
    OTHER_MODALITIES,
    Family,
    TensorRule,
    class_defaults,
    tensor,
)
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON
from quantize.architectures.pooling import POOLING


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (*EMBEDDING, *OUTPUT_NORM, *HEAD, *NORMS, *attention(), *MLP)


def _kormo(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *EMBEDDING,
        *OUTPUT_NORM,
        *HEAD,
        *tensor("layers.{bid}.pre_attention_layernorm", "blk.{bid}.attn_norm"),
        *tensor("layers.{bid}.pre_mlp_layernorm", "blk.{bid}.ffn_norm"),
        *attention(),
        *MLP,
    )


QWEN2 = Family(
    arch="qwen2",
    keys=(*COMMON, *POOLING),
    rules=_rules,
    unused=OTHER_MODALITIES,
    defaults=class_defaults(rope_theta=10000.0),
    vocab=("spm", "spm-json", "bpe"),
)
# The same block, its norms under other names.
KORMO = replace(QWEN2, rules=_kormo)
