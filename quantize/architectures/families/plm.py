"""PLM: latent attention without a low rank for q, and an MLP without a gate."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, u32

_ATTENTION = "layers.{bid}.self_attn"


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.NORMS,
        *tensor(f"{_ATTENTION}.q_proj", "blk.{bid}.attn_q"),
        *tensor(f"{_ATTENTION}.kv_a_proj_with_mqa", "blk.{bid}.attn_kv_a_mqa"),
        *tensor(f"{_ATTENTION}.kv_a_layernorm", "blk.{bid}.attn_kv_a_norm"),
        *tensor(f"{_ATTENTION}.kv_b_proj", "blk.{bid}.attn_kv_b"),
        *tensor(f"{_ATTENTION}.o_proj", "blk.{bid}.attn_output"),
        *tensor("layers.{bid}.mlp.up_proj", "blk.{bid}.ffn_up"),
        *tensor("layers.{bid}.mlp.down_proj", "blk.{bid}.ffn_down"),
    )


PLM = Family(
    arch="plm",
    keys=(
        *COMMON,
        u32("vocab_size", "vocab_size"),
        u32("attention.kv_lora_rank", "kv_lora_rank"),
        u32("attention.key_length", lambda hp: hp["qk_nope_head_dim"] + hp["qk_rope_head_dim"]),
        u32("attention.value_length", "v_head_dim"),
        u32("rope.dimension_count", "qk_rope_head_dim"),
    ),
    rules=_rules,
    defaults=class_defaults(),
)
