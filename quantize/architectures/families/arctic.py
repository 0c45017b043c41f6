"""Snowflake Arctic: Mixtral's experts along with a dense MLP, each with a norm of its own."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.families.llama import MIXTRAL_MOE
from quantize.architectures.family import Family, TensorRule, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, u32
from quantize.transforms import PermuteRope

_MLP = "layers.{bid}.residual_mlp"


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *tensor("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
        *decoder.attention(PermuteRope(hp.n_head), PermuteRope(hp.n_head_kv)),
        *tensor("layers.{bid}.residual_layernorm", "blk.{bid}.ffn_norm"),
        *tensor(f"{_MLP}.w1", "blk.{bid}.ffn_gate"),
        *tensor(f"{_MLP}.w2", "blk.{bid}.ffn_down"),
        *tensor(f"{_MLP}.w3", "blk.{bid}.ffn_up"),
        *tensor("layers.{bid}.post_attention_layernorm", "blk.{bid}.ffn_norm_exps"),
        *MIXTRAL_MOE,
    )


ARCTIC = Family(
    arch="arctic",
    keys=(
        *COMMON,
        u32("vocab_size", "vocab_size"),
        u32("rope.dimension_count", lambda hp: hp.n_embd // hp.n_head),
    ),
    rules=_rules,
    defaults=class_defaults(),
    vocab=("spm-arctic", "spm-json"),
)
