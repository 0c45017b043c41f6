"""Nemotron and Minitron: LayerNorm stored as (weight - 1), squared ReLU, partial RoPE."""

from __future__ import annotations

from typing import Any

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, biased, class_defaults
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, f32, string, u32
from quantize.formats import kv
from quantize.transforms import Add


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *biased("norm", "output_norm", Add(1.0)),
        *decoder.UNTIED_HEAD,
        *biased("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm", Add(1.0)),
        *biased("layers.{bid}.post_attention_layernorm", "blk.{bid}.ffn_norm", Add(1.0)),
        *decoder.attention(),
        *decoder.UNGATED_MLP,
    )


def _rope_factor(hp: Hparams) -> Any:
    return hp.get("factor") or hp.rope.get("factor")


def _rotary_dimensions(hp: Hparams) -> int:
    return int(hp.rope["partial_rotary_factor"] * hp.n_embd) // hp.n_head


NEMOTRON = Family(
    arch="nemotron",
    keys=(
        *COMMON,
        u32("vocab_size", "vocab_size"),
        f32("attention.layer_norm_epsilon", "norm_eps"),
        u32("rope.dimension_count", _rotary_dimensions),
        string("rope.scaling.type", lambda hp: "none" if _rope_factor(hp) is None else "linear"),
        f32("rope.scaling.factor", _rope_factor),
    ),
    rules=_rules,
    defaults=class_defaults(
        head_dim=lambda config: config["hidden_size"] // config["num_attention_heads"],
        rope_theta=10000.0,
        partial_rotary_factor=0.5,
        norm_eps=1e-5,
    ),
    vocab=("spm", "spm-json"),
    vocab_options={
        "after": (
            kv.u32("tokenizer.ggml.padding_token_id", 0),
            kv.u32("tokenizer.ggml.unknown_token_id", 1),
        )
    },
)
