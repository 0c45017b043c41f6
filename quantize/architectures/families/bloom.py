"""BLOOM: ALiBi instead of positions, a norm after the embedding, q, k, v fused head by head."""

from __future__ import annotations

from quantize.architectures.family import Family, TensorRule, biased, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, u32
from quantize.transforms import Ungroup


def _n_head(hp: Hparams) -> int:
    return int(hp.first("n_head", "num_attention_heads"))


def _n_embd(hp: Hparams) -> int:
    return int(hp.first("hidden_size", "n_embed"))


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    by_head = Ungroup(_n_head(hp), (1, 1, 1))
    return (
        *tensor("word_embeddings", "token_embd"),
        *biased("word_embeddings_layernorm", "token_embd_norm"),
        *biased("ln_f", "output_norm"),
        *tensor("lm_head", "output", optional=True),
        *biased("h.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
        *biased("h.{bid}.post_attention_layernorm", "blk.{bid}.ffn_norm"),
        *tensor("h.{bid}.self_attention.query_key_value", "blk.{bid}.attn_qkv", by_head),
        *biased("h.{bid}.self_attention.dense", "blk.{bid}.attn_output"),
        *biased("h.{bid}.mlp.dense_h_to_4h", "blk.{bid}.ffn_up"),
        *biased("h.{bid}.mlp.dense_4h_to_h", "blk.{bid}.ffn_down"),
    )


BLOOM = Family(
    arch="bloom",
    keys=(
        u32("context_length", lambda hp: hp.get("seq_length", _n_embd(hp))),
        u32("embedding_length", _n_embd),
        u32("feed_forward_length", lambda hp: 4 * _n_embd(hp)),
        u32("block_count", lambda hp: hp.block_count),
        u32("attention.head_count", _n_head),
        u32("attention.head_count_kv", _n_head),
        f32("attention.layer_norm_epsilon", lambda hp: hp.get("layer_norm_epsilon", 1e-5)),
    ),
    rules=_rules,
)
