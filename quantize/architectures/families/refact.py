"""Refact: ALiBi, one key and value head, gate and up fused."""

from __future__ import annotations

from quantize.architectures.family import Family, TensorRule, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, u32
from quantize.transforms import Part, Span


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    head = hp.n_embd // hp.n_head
    gate_up, kv_heads = "h.{bid}.mlp.gate_up_proj.weight", "h.{bid}.attn.kv.weight"
    return (
        *tensor("wte", "token_embd"),
        *tensor("ln_f", "output_norm"),
        *tensor("lm_head", "output", optional=True),
        *tensor("h.{bid}.ln_1", "blk.{bid}.attn_norm"),
        *tensor("h.{bid}.ln_2", "blk.{bid}.ffn_norm"),
        TensorRule("h.{bid}.attn.q.weight", "blk.{bid}.attn_q.weight"),
        TensorRule(kv_heads, "blk.{bid}.attn_k.weight", Span(0, head)),
        TensorRule(kv_heads, "blk.{bid}.attn_v.weight", Span(head, 2 * head)),
        *tensor("h.{bid}.attn.c_proj", "blk.{bid}.attn_output"),
        TensorRule(gate_up, "blk.{bid}.ffn_gate.weight", Part(0, 2)),
        TensorRule(gate_up, "blk.{bid}.ffn_up.weight", Part(1, 2)),
        *tensor("h.{bid}.mlp.c_proj", "blk.{bid}.ffn_down"),
    )


def _mlp_size(hp: Hparams) -> int:
    """Two thirds of four times the width, rounded up to a multiple of 256."""
    return -(-int(2 * 4 * hp.n_embd / 3) // 256) * 256


REFACT = Family(
    arch="refact",
    keys=(
        u32("context_length", "n_positions"),
        u32("embedding_length", "n_embd"),
        u32("feed_forward_length", _mlp_size),
        u32("block_count", lambda hp: hp.block_count),
        u32("attention.head_count", "n_head"),
        u32("attention.head_count_kv", lambda hp: 1),
        f32("attention.layer_norm_rms_epsilon", "layer_norm_epsilon"),
    ),
    rules=_rules,
)
