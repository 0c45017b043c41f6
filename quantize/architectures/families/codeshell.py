"""CodeShell: GPT-2's names with RoPE, and fewer key and value heads."""

from __future__ import annotations

from quantize.architectures.family import Family, TensorRule, biased, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, string, u32


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *tensor("wte", "token_embd", optional=True),
        *biased("ln_f", "output_norm"),
        *tensor("lm_head", "output"),
        *biased("h.{bid}.ln_1", "blk.{bid}.attn_norm"),
        *biased("h.{bid}.ln_2", "blk.{bid}.ffn_norm"),
        *biased("h.{bid}.attn.c_attn", "blk.{bid}.attn_qkv"),
        *biased("h.{bid}.attn.c_proj", "blk.{bid}.attn_output"),
        *biased("h.{bid}.mlp.c_fc", "blk.{bid}.ffn_up"),
        *biased("h.{bid}.mlp.c_proj", "blk.{bid}.ffn_down"),
    )


CODESHELL = Family(
    arch="codeshell",
    keys=(
        u32("context_length", "n_positions"),
        u32("embedding_length", "n_embd"),
        u32("feed_forward_length", lambda hp: 4 * hp.n_embd),
        u32("block_count", lambda hp: hp.block_count),
        u32("attention.head_count", "n_head"),
        u32("attention.head_count_kv", "num_query_groups"),
        f32("attention.layer_norm_epsilon", "layer_norm_epsilon"),
        f32("rope.freq_base", lambda hp: 10000.0),
        string("rope.scaling.type", lambda hp: "linear"),
        f32("rope.scaling.factor", lambda hp: 1.0),
    ),
    rules=_rules,
    unused=("*.rotary_position_embedding.inv_freq",),
)
