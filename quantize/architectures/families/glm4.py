"""GLM-4 0414: four norms a block, gate and up fused, RoPE on half of each head."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures import decoder
from quantize.architectures.family import (
    OTHER_MODALITIES,
    Family,
    TensorRule,
    class_defaults,
    tensor,
)
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, u32
from quantize.transforms import Unpair


def _attention(hp: Hparams) -> tuple[TensorRule, ...]:
    """llama.cpp's multimodal RoPE wants the rows of a head in halves; the model has pairs."""
    if "mrope_section" not in hp.rope:
        return decoder.attention()
    rotary = rotary_dimensions(hp)
    return decoder.attention(Unpair(hp.n_head, rotary), Unpair(hp.n_head_kv, rotary))


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (*decoder.EMBEDDING, *decoder.OUTPUT_NORM, *decoder.HEAD, *block_rules(hp))


def block_rules(hp: Hparams) -> tuple[TensorRule, ...]:
    """Those of a block."""
    return (
        *tensor("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
        *tensor("layers.{bid}.post_self_attn_layernorm", "blk.{bid}.post_attention_norm"),
        *tensor("layers.{bid}.post_attention_layernorm", "blk.{bid}.ffn_norm"),
        *tensor("layers.{bid}.post_mlp_layernorm", "blk.{bid}.post_ffw_norm"),
        *_attention(hp),
        *tensor("layers.{bid}.mlp.gate_up_proj", "blk.{bid}.ffn_up"),
        *tensor("layers.{bid}.mlp.down_proj", "blk.{bid}.ffn_down"),
    )


def rotary_dimensions(hp: Hparams) -> int:
    return int(hp.head_dim * hp.rope.get("partial_rotary_factor", 0.5))


GLM4 = Family(
    arch="glm4",
    keys=(*COMMON, u32("rope.dimension_count", rotary_dimensions)),
    rules=_rules,
    defaults=class_defaults(
        num_key_value_heads=2, head_dim=128, rope_theta=10000.0, rms_norm_eps=1.5625e-07
    ),
    vocab_options={
        "special": {
            "eos": "<|endoftext|>",
            "eot": "<|user|>",
            "unk": "<|endoftext|>",
            "bos": "<|endoftext|>",
        }
    },
)

GLM4V = replace(
    GLM4,
    unused=OTHER_MODALITIES,
    defaults=class_defaults(num_key_value_heads=2, rope_theta=10000.0, rms_norm_eps=1e-5),
)
