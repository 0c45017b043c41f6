"""Phi 3, 3.5 and 4: q, k, v in one tensor, gate and up in another, two tables of RoPE factors."""

from __future__ import annotations

import math

import numpy as np

from quantize.architectures.decoder import EMBEDDING, HEAD, NORMS, OUTPUT_NORM
from quantize.architectures.family import (
    OTHER_MODALITIES,
    Family,
    Generated,
    TensorRule,
    class_defaults,
    tensor,
)
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, u32
from quantize.errors import CheckpointError


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *EMBEDDING,
        *OUTPUT_NORM,
        *HEAD,
        *NORMS,
        *tensor("layers.{bid}.self_attn.qkv_proj", "blk.{bid}.attn_qkv"),
        *tensor("layers.{bid}.self_attn.o_proj", "blk.{bid}.attn_output"),
        *tensor("layers.{bid}.mlp.gate_up_proj", "blk.{bid}.ffn_up"),
        *tensor("layers.{bid}.mlp.down_proj", "blk.{bid}.ffn_down"),
    )


def rotary_dims(hp: Hparams) -> int:
    """Dimensions of a head that RoPE turns."""
    return int(hp.rope.get("partial_rotary_factor", 1.0) * hp.n_embd) // hp.n_head


def _trained_context(hp: Hparams) -> int:
    return int(hp.rope["original_max_position_embeddings"])


def _attention_factor(hp: Hparams) -> float | None:
    """How LongRoPE scales attention scores: sqrt(1 + ln(scale) / ln(context trained for))."""
    if not hp.rope.get("long_factor"):
        return None
    trained = _trained_context(hp)
    scale = hp["max_position_embeddings"] / trained
    return math.sqrt(1 + math.log(scale) / math.log(trained)) if scale > 1 else 1.0


def longrope_factors(hp: Hparams, dims: int) -> list[Generated]:
    """The two tables of LongRoPE, for `dims` rotated dimensions of a head; none for other kinds."""
    if not hp.rope.get("long_factor"):
        return []
    made = []
    for kind in ("long", "short"):
        values = hp.rope.get(f"{kind}_factor") or ()
        if 2 * len(values) != dims:
            raise CheckpointError(
                "bad-rope-factors",
                f"{len(values)} values in {kind}_factor for {dims} rotated dimensions",
                where="config.json: rope_scaling",
                reason="there must be one for each two dimensions of a head",
            )
        made.append(Generated(f"rope_factors_{kind}.weight", np.array(values, np.float32)))
    return made


PHI3 = Family(
    arch="phi3",
    early=(f32("rope.scaling.attn_factor", _attention_factor),),
    keys=(
        u32("context_length", "max_position_embeddings"),
        u32("rope.scaling.original_context_length", _trained_context),
        u32("embedding_length", "hidden_size"),
        u32("feed_forward_length", "intermediate_size"),
        u32("block_count", "num_hidden_layers"),
        u32("attention.head_count", "num_attention_heads"),
        u32("attention.head_count_kv", lambda hp: hp.n_head_kv),
        f32("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
        u32("rope.dimension_count", rotary_dims),
        f32("rope.freq_base", lambda hp: hp.full_rope["rope_theta"]),
        # Written as 0 too: llama.cpp tells Phi 4 by that.
        u32("attention.sliding_window", lambda hp: hp.get("sliding_window") or 0),
    ),
    rules=_rules,
    generated=lambda hp: longrope_factors(hp, rotary_dims(hp)),
    unused=OTHER_MODALITIES,
    defaults=class_defaults(
        max_position_embeddings=4096,
        original_max_position_embeddings=4096,
        rope_theta=10000.0,
        rms_norm_eps=1e-5,
    ),
    vocab=("spm-phi", "spm-json", "bpe"),
)
