"""MosaicML's MPT: ALiBi, q, k, v fused, usually no biases."""

from __future__ import annotations

from typing import Any

from quantize.architectures.family import Family, TensorRule, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, u32

# What MptAttentionConfig fills in.
_ATTENTION = {"clip_qkv": None, "alibi": True, "alibi_bias_max": 8}


def _attention(hp: Hparams, key: str) -> Any:
    return {**_ATTENTION, **(hp.get("attn_config") or {})}.get(key)


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *tensor("wte", "token_embd"),
        *tensor("wpe", "position_embd", optional=True),
        *tensor("norm_f", "output_norm"),
        *tensor("lm_head", "output", optional=True),
        *tensor("blocks.{bid}.norm_1", "blk.{bid}.attn_norm"),
        *tensor("blocks.{bid}.norm_2", "blk.{bid}.ffn_norm"),
        *tensor("blocks.{bid}.attn.Wqkv", "blk.{bid}.attn_qkv"),
        *tensor("blocks.{bid}.attn.q_ln", "blk.{bid}.attn_q_norm", optional=True),
        *tensor("blocks.{bid}.attn.k_ln", "blk.{bid}.attn_k_norm", optional=True),
        *tensor("blocks.{bid}.attn.out_proj", "blk.{bid}.attn_output"),
        *tensor("blocks.{bid}.ffn.up_proj", "blk.{bid}.ffn_up"),
        *tensor("blocks.{bid}.ffn.down_proj", "blk.{bid}.ffn_down"),
    )


def _alibi(hp: Hparams) -> float:
    return float(_attention(hp, "alibi_bias_max")) if _attention(hp, "alibi") else 0.0


MPT = Family(
    arch="mpt",
    keys=(
        u32("context_length", "max_seq_len"),
        u32("embedding_length", "d_model"),
        u32("block_count", "n_layers"),
        u32("feed_forward_length", lambda hp: 4 * int(hp["d_model"])),
        u32("attention.head_count", "n_heads"),
        u32("attention.head_count_kv", lambda hp: _attention(hp, "kv_n_heads") or None),
        f32("attention.layer_norm_epsilon", lambda hp: 1e-5),
        f32("attention.clamp_kqv", lambda hp: _attention(hp, "clip_qkv")),
        f32("attention.max_alibi_bias", _alibi),
    ),
    rules=_rules,
)
