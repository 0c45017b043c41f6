"""Rules that most decoders share: embedding, head, and a pre-norm block with Llama's names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from quantize.architectures.family import Generated, TensorRule, experts, tensor
from quantize.architectures.hparams import Hparams
from quantize.transforms import IDENTITY, Add, Transform

EMBEDDING = (TensorRule("embed_tokens.weight", "token_embd.weight"),)
OUTPUT_NORM = tensor("norm", "output_norm")
# Absent when the embedding is tied; llama.cpp then uses token_embd for both.
HEAD = (
    TensorRule("lm_head.weight", "output.weight", optional=True),
    TensorRule("lm_head.bias", "output.bias", optional=True),
)
# A head that llama.cpp requires: it does not put the embedding in its place.
UNTIED_HEAD = tensor("lm_head", "output")
NORMS = (
    *tensor("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
    *tensor("layers.{bid}.post_attention_layernorm", "blk.{bid}.ffn_norm"),
)
# Norms after attention and MLP, before the residual sum.
POST_NORMS = (
    *tensor("layers.{bid}.post_attention_layernorm", "blk.{bid}.post_attention_norm"),
    *tensor("layers.{bid}.post_feedforward_layernorm", "blk.{bid}.post_ffw_norm"),
)
UNGATED_MLP = (
    *tensor("layers.{bid}.mlp.up_proj", "blk.{bid}.ffn_up"),
    *tensor("layers.{bid}.mlp.down_proj", "blk.{bid}.ffn_down"),
)
MLP = (*tensor("layers.{bid}.mlp.gate_proj", "blk.{bid}.ffn_gate"), *UNGATED_MLP)
FEED_FORWARD = (
    *tensor("layers.{bid}.feed_forward.gate_proj", "blk.{bid}.ffn_gate"),
    *tensor("layers.{bid}.feed_forward.up_proj", "blk.{bid}.ffn_up"),
    *tensor("layers.{bid}.feed_forward.down_proj", "blk.{bid}.ffn_down"),
)
EXPERTS = (
    experts("layers.{bid}.mlp.experts.{eid}.gate_proj", "blk.{bid}.ffn_gate_exps"),
    experts("layers.{bid}.mlp.experts.{eid}.up_proj", "blk.{bid}.ffn_up_exps"),
    experts("layers.{bid}.mlp.experts.{eid}.down_proj", "blk.{bid}.ffn_down_exps"),
)
MOE = (TensorRule("layers.{bid}.mlp.gate.weight", "blk.{bid}.ffn_gate_inp.weight"), *EXPERTS)
SHARED_EXPERTS = (
    *tensor("layers.{bid}.mlp.shared_experts.gate_proj", "blk.{bid}.ffn_gate_shexp"),
    *tensor("layers.{bid}.mlp.shared_experts.up_proj", "blk.{bid}.ffn_up_shexp"),
    *tensor("layers.{bid}.mlp.shared_experts.down_proj", "blk.{bid}.ffn_down_shexp"),
)
QK_NORMS = (
    *tensor("layers.{bid}.self_attn.q_norm", "blk.{bid}.attn_q_norm"),
    *tensor("layers.{bid}.self_attn.k_norm", "blk.{bid}.attn_k_norm"),
)


def attention(
    q: Transform = IDENTITY,
    k: Transform = IDENTITY,
    v: Transform = IDENTITY,
    o: Transform = IDENTITY,
) -> tuple[TensorRule, ...]:
    """Separate q, k, v and output projections, with what RoPE's layout asks of q and k."""
    return (
        *tensor("layers.{bid}.self_attn.q_proj", "blk.{bid}.attn_q", q),
        *tensor("layers.{bid}.self_attn.k_proj", "blk.{bid}.attn_k", k),
        *tensor("layers.{bid}.self_attn.v_proj", "blk.{bid}.attn_v", v),
        *tensor("layers.{bid}.self_attn.o_proj", "blk.{bid}.attn_output", o),
    )


def plus_one(rules: Iterable[TensorRule]) -> tuple[TensorRule, ...]:
    """The rules, for models that store the weights of norms less 1."""
    return tuple(
        replace(rule, transform=Add()) if str(rule.source).endswith("norm.weight") else rule
        for rule in rules
    )


def llama3_rope_freqs(hp: Hparams) -> list[Generated]:
    """rope_freqs.weight of the "llama3" RoPE scaling; none for other kinds.

    The factor by which each frequency is divided: 1 for short wavelengths, `factor` for long
    ones, blended between (transformers, modeling_rope_utils, _compute_llama3_parameters). Done in
    float32 where llama.cpp's converter works on tensors, else in Python floats, as it does.
    """
    rope = hp.full_rope
    if str(rope.get("rope_type", "")).lower() != "llama3":
        return []
    dim = hp.head_dim
    exponents = np.arange(0, dim, 2, dtype=np.float32) / np.float32(dim)
    base = np.float32(rope.get("rope_theta", 10000.0))
    freqs = np.float32(1.0) / np.power(base, exponents)
    factor = rope.get("factor", 8.0)
    low, high = rope.get("low_freq_factor", 1.0), rope.get("high_freq_factor", 4.0)
    context = rope.get("original_max_position_embeddings", 8192)

    def divisor(freq: np.float32) -> float:
        wavelength = np.float32(2 * math.pi) / freq
        if wavelength < context / high:
            return 1.0
        if wavelength > context / low:
            return float(factor)
        smooth = (np.float32(context) / wavelength - np.float32(low)) / np.float32(high - low)
        return float(np.float32(1) / ((np.float32(1) - smooth) / np.float32(factor) + smooth))

    values = np.array([divisor(freq) for freq in freqs], dtype=np.float32)
    return [Generated("rope_freqs.weight", values)]
