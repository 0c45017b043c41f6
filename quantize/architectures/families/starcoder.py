"""StarCoder 1 and SantaCoder: GPT-2 with one key and value head and plain linear weights."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures.families.gpt2 import GPT2
from quantize.architectures.family import TensorRule, biased, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, u32


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *tensor("wte", "token_embd"),
        *tensor("wpe", "position_embd"),
        *biased("ln_f", "output_norm"),
        *tensor("lm_head", "output", optional=True),
        *biased("h.{bid}.ln_1", "blk.{bid}.attn_norm"),
        *biased("h.{bid}.ln_2", "blk.{bid}.ffn_norm"),
        *biased("h.{bid}.attn.c_attn", "blk.{bid}.attn_qkv"),
        *biased("h.{bid}.attn.c_proj", "blk.{bid}.attn_output"),
        *biased("h.{bid}.mlp.c_fc", "blk.{bid}.ffn_up"),
        *biased("h.{bid}.mlp.c_proj", "blk.{bid}.ffn_down"),
    )


STARCODER = replace(
    GPT2,
    arch="starcoder",
    keys=(
        u32("context_length", "n_positions"),
        u32("embedding_length", "n_embd"),
        u32("feed_forward_length", lambda hp: 4 * hp.n_embd),
        u32("block_count", "n_layer"),
        u32("attention.head_count", "n_head"),
        u32("attention.head_count_kv", lambda hp: 1),
        f32("attention.layer_norm_epsilon", "layer_norm_epsilon"),
    ),
    rules=_rules,
)
