"""Databricks' DBRX: the experts of a block are one table, rows of one after those of another."""

from __future__ import annotations

from typing import Any

from quantize.architectures.family import Family, TensorRule, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, u32
from quantize.transforms import Reshape, Transpose, chain

# What DbrxAttentionConfig and DbrxFFNConfig fill in.
_ATTENTION = {"kv_n_heads": 1, "rope_theta": 10000.0, "clip_qkv": None}
_FFN = {"ffn_hidden_size": 3584, "moe_num_experts": 4, "moe_top_k": 1}


def _attention(hp: Hparams, key: str) -> Any:
    return {**_ATTENTION, **hp["attn_config"]}[key]


def _ffn(hp: Hparams, key: str) -> Any:
    return {**_FFN, **hp["ffn_config"]}[key]


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    block, ffn = "blocks.{bid}.norm_attn_norm", "blocks.{bid}.ffn"
    experts = Reshape((_ffn(hp, "moe_num_experts"), _ffn(hp, "ffn_hidden_size"), -1))
    down = chain(experts, Transpose((0, 2, 1)))
    return (
        *tensor("wte", "token_embd"),
        *tensor("norm_f", "output_norm"),
        *tensor("lm_head", "output"),
        *tensor(f"{block}.norm_1", "blk.{bid}.attn_norm"),
        *tensor(f"{block}.norm_2", "blk.{bid}.attn_output_norm"),
        *tensor(f"{block}.attn.Wqkv", "blk.{bid}.attn_qkv"),
        *tensor(f"{block}.attn.out_proj", "blk.{bid}.attn_output"),
        *tensor(f"{ffn}.router.layer", "blk.{bid}.ffn_gate_inp"),
        TensorRule(f"{ffn}.experts.mlp.w1", "blk.{bid}.ffn_gate_exps.weight", experts),
        TensorRule(f"{ffn}.experts.mlp.v1", "blk.{bid}.ffn_up_exps.weight", experts),
        TensorRule(f"{ffn}.experts.mlp.w2", "blk.{bid}.ffn_down_exps.weight", down),
    )


DBRX = Family(
    arch="dbrx",
    keys=(
        u32("block_count", "n_layers"),
        u32("context_length", "max_seq_len"),
        u32("embedding_length", "d_model"),
        u32("feed_forward_length", lambda hp: _ffn(hp, "ffn_hidden_size")),
        u32("attention.head_count", "n_heads"),
        u32("attention.head_count_kv", lambda hp: _attention(hp, "kv_n_heads")),
        f32("rope.freq_base", lambda hp: _attention(hp, "rope_theta")),
        f32("attention.clamp_kqv", lambda hp: _attention(hp, "clip_qkv")),
        u32("expert_count", lambda hp: _ffn(hp, "moe_num_experts")),
        u32("expert_used_count", lambda hp: _ffn(hp, "moe_top_k")),
        f32("attention.layer_norm_epsilon", lambda hp: 1e-5),
    ),
    rules=_rules,
)
