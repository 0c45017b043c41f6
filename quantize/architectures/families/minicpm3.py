"""MiniCPM 3: latent attention, with a norm after each half of a projection."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.families.phi3 import longrope_factors
from quantize.architectures.family import Family, TensorRule, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, u32

_ATTENTION = "layers.{bid}.self_attn"


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *decoder.NORMS,
        *tensor(f"{_ATTENTION}.q_a_proj", "blk.{bid}.attn_q_a"),
        *tensor(f"{_ATTENTION}.q_a_layernorm", "blk.{bid}.attn_q_a_norm"),
        *tensor(f"{_ATTENTION}.q_b_proj", "blk.{bid}.attn_q_b"),
        *tensor(f"{_ATTENTION}.kv_a_proj_with_mqa", "blk.{bid}.attn_kv_a_mqa"),
        *tensor(f"{_ATTENTION}.kv_a_layernorm", "blk.{bid}.attn_kv_a_norm"),
        *tensor(f"{_ATTENTION}.kv_b_proj", "blk.{bid}.attn_kv_b"),
        *tensor(f"{_ATTENTION}.o_proj", "blk.{bid}.attn_output"),
        *decoder.MLP,
    )


def _key_length(hp: Hparams) -> int:
    return int(hp["qk_nope_head_dim"]) + int(hp["qk_rope_head_dim"])


MINICPM3 = Family(
    arch="minicpm3",
    keys=(
        u32("context_length", "max_position_embeddings"),
        u32("embedding_length", "hidden_size"),
        u32("block_count", "num_hidden_layers"),
        u32("feed_forward_length", "intermediate_size"),
        u32("attention.head_count", "num_attention_heads"),
        u32("attention.head_count_kv", "num_key_value_heads"),
        f32("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
        u32("vocab_size", "vocab_size"),
        u32("attention.q_lora_rank", "q_lora_rank"),
        u32("attention.kv_lora_rank", "kv_lora_rank"),
        u32("attention.key_length", _key_length),
        u32("rope.dimension_count", "qk_rope_head_dim"),
    ),
    rules=_rules,
    generated=lambda hp: longrope_factors(hp, int(hp["qk_rope_head_dim"])),
    defaults=class_defaults(),
    vocab=("spm", "spm-json"),
)
