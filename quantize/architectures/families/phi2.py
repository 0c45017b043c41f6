"""Phi 1 to 2: attention and MLP side by side after one norm, biases everywhere."""

from __future__ import annotations

from quantize.architectures.decoder import EMBEDDING
from quantize.architectures.families.phi3 import rotary_dims
from quantize.architectures.family import Family, TensorRule, biased, class_defaults
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, u32
from quantize.formats import kv


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *EMBEDDING,
        *biased("final_layernorm", "output_norm"),
        *biased("lm_head", "output"),
        *biased("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
        *biased("layers.{bid}.self_attn.q_proj", "blk.{bid}.attn_q"),
        *biased("layers.{bid}.self_attn.k_proj", "blk.{bid}.attn_k"),
        *biased("layers.{bid}.self_attn.v_proj", "blk.{bid}.attn_v"),
        *biased("layers.{bid}.self_attn.dense", "blk.{bid}.attn_output"),
        *biased("layers.{bid}.mlp.fc1", "blk.{bid}.ffn_up"),
        *biased("layers.{bid}.mlp.fc2", "blk.{bid}.ffn_down"),
    )


PHI2 = Family(
    arch="phi2",
    keys=(
        u32("context_length", "max_position_embeddings"),
        u32("embedding_length", "hidden_size"),
        u32("feed_forward_length", lambda hp: 4 * hp.n_embd),
        u32("block_count", "num_hidden_layers"),
        u32("attention.head_count", "num_attention_heads"),
        u32("attention.head_count_kv", "num_attention_heads"),
        f32("attention.layer_norm_epsilon", "layer_norm_eps"),
        u32("rope.dimension_count", rotary_dims),
    ),
    rules=_rules,
    defaults=class_defaults(
        max_position_embeddings=2048, partial_rotary_factor=0.5, layer_norm_eps=1e-5
    ),
    vocab_options={"before": (kv.boolean("tokenizer.ggml.add_bos_token", value=False),)},
)
