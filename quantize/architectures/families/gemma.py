"""Gemma 1 and 2: tied heads, and norms stored as (weight - 1)."""

from __future__ import annotations

from quantize.architectures.decoder import (
    EMBEDDING,
    MLP,
    NORMS,
    OUTPUT_NORM,
    POST_NORMS,
    attention,
    plus_one,
)
from quantize.architectures.family import Family, TensorRule, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, u32
from quantize.formats import kv

_KEYS = (
    u32("context_length", "max_position_embeddings"),
    u32("embedding_length", "hidden_size"),
    u32("block_count", "num_hidden_layers"),
    u32("feed_forward_length", "intermediate_size"),
    u32("attention.head_count", "num_attention_heads"),
    u32("attention.head_count_kv", lambda hp: hp.n_head_kv),
    f32("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    u32("attention.key_length", "head_dim"),
    u32("attention.value_length", "head_dim"),
)
_SOFTCAPS = (
    f32("attn_logit_softcapping", "attn_logit_softcapping"),
    f32("final_logit_softcapping", "final_logit_softcapping"),
)
NO_SPACE_PREFIX = kv.boolean("tokenizer.ggml.add_space_prefix", value=False)
# CodeGemma's <end_of_turn>, which llama.cpp's converter writes for every first Gemma.
_EOT = kv.u32("tokenizer.ggml.eot_token_id", 107)

SANDWICH_NORMS = (
    *tensor("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
    *tensor("layers.{bid}.pre_feedforward_layernorm", "blk.{bid}.ffn_norm"),
    *POST_NORMS,
)


def _gemma(hp: Hparams) -> tuple[TensorRule, ...]:
    return plus_one((*EMBEDDING, *OUTPUT_NORM, *NORMS, *attention(), *MLP))


def _gemma2(hp: Hparams) -> tuple[TensorRule, ...]:
    return plus_one((*EMBEDDING, *OUTPUT_NORM, *SANDWICH_NORMS, *attention(), *MLP))


GEMMA = Family(
    arch="gemma",
    keys=_KEYS,
    rules=_gemma,
    unused=("lm_head.weight",),
    defaults=class_defaults(head_dim=256, rms_norm_eps=1e-6),
    vocab=("spm", "spm-json"),
    vocab_options={"after": (_EOT, NO_SPACE_PREFIX)},
)
GEMMA2 = Family(
    arch="gemma2",
    keys=(*_KEYS, *_SOFTCAPS, u32("attention.sliding_window", "sliding_window")),
    rules=_gemma2,
    unused=("lm_head.weight",),
    defaults=class_defaults(
        head_dim=256,
        rms_norm_eps=1e-6,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
        sliding_window=4096,
    ),
    vocab=("spm", "spm-json"),
    vocab_options={"after": (NO_SPACE_PREFIX,)},
)
