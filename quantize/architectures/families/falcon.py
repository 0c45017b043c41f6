"""Falcon 1 and 2: attention and MLP in parallel, q, k, v fused group by group."""

from __future__ import annotations

from quantize.architectures.family import Family, TensorRule, biased, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, string, u32
from quantize.transforms import Ungroup


def _n_head_kv(hp: Hparams) -> int:
    """Key and value heads; one, whatever num_kv_heads says, in models that are "multi_query"."""
    if hp.get("multi_query", True) and not hp.get("new_decoder_architecture", False):
        return 1
    found = hp.get("num_kv_heads")
    return hp.n_head if found is None else int(found)


def _norms(hp: Hparams) -> tuple[TensorRule, ...]:
    """One norm for both branches, or, in most of the newer models, one for each."""
    if hp.get("new_decoder_architecture", False) and hp.get("num_ln_in_parallel_attn") != 1:
        return (
            *biased("h.{bid}.ln_mlp", "blk.{bid}.attn_norm"),
            *biased("h.{bid}.ln_attn", "blk.{bid}.attn_norm_2"),
        )
    return biased("h.{bid}.input_layernorm", "blk.{bid}.attn_norm")


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    groups = _n_head_kv(hp)
    return (
        *tensor("word_embeddings", "token_embd"),
        *biased("ln_f", "output_norm"),
        *tensor("lm_head", "output", optional=True),
        *_norms(hp),
        TensorRule(
            "h.{bid}.self_attention.query_key_value.weight",
            "blk.{bid}.attn_qkv.weight",
            Ungroup(groups, (hp.n_head // groups, 1, 1)),
        ),
        TensorRule("h.{bid}.self_attention.dense.weight", "blk.{bid}.attn_output.weight"),
        TensorRule("h.{bid}.mlp.dense_h_to_4h.weight", "blk.{bid}.ffn_up.weight"),
        TensorRule("h.{bid}.mlp.dense_4h_to_h.weight", "blk.{bid}.ffn_down.weight"),
    )


FALCON = Family(
    arch="falcon",
    keys=(
        u32("context_length", lambda hp: 2048),  # what llama.cpp's converter fixes
        string("tensor_data_layout", lambda hp: "jploski"),  # q, k, v not group by group
        u32("embedding_length", "hidden_size"),
        u32("feed_forward_length", lambda hp: 4 * hp.n_embd),
        u32("block_count", "num_hidden_layers"),
        u32("attention.head_count", "num_attention_heads"),
        u32("attention.head_count_kv", _n_head_kv),
        f32("attention.layer_norm_epsilon", "layer_norm_epsilon"),
    ),
    rules=_rules,
    defaults=class_defaults(layer_norm_epsilon=1e-5),
)
