"""Jais: GPT-2's transposed weights, ALiBi, SwiGLU, scaled embedding and head."""

from __future__ import annotations

from quantize.architectures.family import Family, TensorRule, biased, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, u32
from quantize.transforms import Scale, Transpose


def _embedding_scale(hp: Hparams) -> float:
    return float(hp.first("mup_embeddings_scale", "embeddings_scale"))


def _head_scale(hp: Hparams) -> float:
    if "mup_output_alpha" in hp:
        return float(hp["mup_output_alpha"] * hp["mup_width_scale"])
    return float(hp["width_scale"])


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *tensor("wte", "token_embd", Scale(_embedding_scale(hp))),
        *biased("ln_f", "output_norm"),
        *tensor("lm_head", "output", Scale(_head_scale(hp))),
        *biased("h.{bid}.ln_1", "blk.{bid}.attn_norm"),
        *biased("h.{bid}.ln_2", "blk.{bid}.ffn_norm"),
        *biased("h.{bid}.attn.c_attn", "blk.{bid}.attn_qkv", Transpose()),
        *biased("h.{bid}.attn.c_proj", "blk.{bid}.attn_output", Transpose()),
        *biased("h.{bid}.mlp.c_fc", "blk.{bid}.ffn_up", Transpose()),
        *biased("h.{bid}.mlp.c_fc2", "blk.{bid}.ffn_gate", Transpose()),
        *biased("h.{bid}.mlp.c_proj", "blk.{bid}.ffn_down", Transpose()),
    )


JAIS = Family(
    arch="jais",
    # The slopes that some checkpoints hold are those of this largest bias.
    early=(f32("attention.max_alibi_bias", lambda hp: 8.0),),
    keys=(
        u32("block_count", lambda hp: hp.block_count),
        u32("context_length", "n_positions"),
        u32("embedding_length", "n_embd"),
        u32("feed_forward_length", "n_inner"),
        u32("attention.head_count", "n_head"),
        f32("attention.layer_norm_epsilon", "layer_norm_epsilon"),
    ),
    rules=_rules,
    unused=("h.*.attn.bias", "relative_pe.slopes"),
)
