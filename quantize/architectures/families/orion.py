"""Orion: Llama's block with LayerNorm."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, biased
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, string, u32


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *biased("norm", "output_norm"),
        *decoder.UNTIED_HEAD,
        *biased("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
        *biased("layers.{bid}.post_attention_layernorm", "blk.{bid}.ffn_norm"),
        *decoder.attention(),
        *decoder.MLP,
    )


ORION = Family(
    arch="orion",
    keys=(
        string("tensor_data_layout", lambda hp: "Meta AI original pth"),
        u32("context_length", "max_sequence_length", "max_position_embeddings", "model_max_length"),
        u32("embedding_length", "hidden_size"),
        u32("block_count", "num_hidden_layers"),
        u32("feed_forward_length", "intermediate_size"),
        u32("attention.head_count", "num_attention_heads"),
        u32("attention.head_count_kv", lambda hp: hp.n_head_kv),
        # The config calls it rms_norm_eps; the model's code gives it to LayerNorm.
        f32("attention.layer_norm_epsilon", "rms_norm_eps"),
    ),
    rules=_rules,
    vocab=("spm", "spm-json"),
)
