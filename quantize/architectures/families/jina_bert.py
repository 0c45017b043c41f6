"""Jina's BERT of embeddings v2: ALiBi instead of positions, and a gated MLP."""

from __future__ import annotations

from quantize.architectures.families.bert import ENCODER_KEYS, PREFIXES, UNUSED
from quantize.architectures.family import Family, TensorRule, biased, tensor
from quantize.architectures.hparams import Hparams

_LAYER = "encoder.layer.{bid}"
_ATTENTION = f"{_LAYER}.attention.self"


def _v2_mlp() -> tuple[TensorRule, ...]:
    return (
        TensorRule(f"{_LAYER}.mlp.gated_layers.weight", "blk.{bid}.ffn_up.weight"),
        *biased(f"{_LAYER}.mlp.wo", "blk.{bid}.ffn_down"),
        *biased(f"{_LAYER}.mlp.layernorm", "blk.{bid}.layer_output_norm"),
    )


def _code_mlp() -> tuple[TensorRule, ...]:
    """Of the model for code: other names, and a norm more."""
    return (
        TensorRule(f"{_LAYER}.mlp.up_gated_layer.weight", "blk.{bid}.ffn_up.weight"),
        *biased(f"{_LAYER}.mlp.down_layer", "blk.{bid}.ffn_down"),
        *biased(f"{_LAYER}.layer_norm_1", "blk.{bid}.attn_norm_2"),
        *biased(f"{_LAYER}.layer_norm_2", "blk.{bid}.layer_output_norm"),
    )


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    of_code = any(".mlp.up_gated_layer." in name for name in hp.shapes)
    return (
        TensorRule("embeddings.word_embeddings.weight", "token_embd.weight"),
        TensorRule("embeddings.token_type_embeddings.weight", "token_types.weight"),
        *biased("embeddings.LayerNorm", "token_embd_norm"),
        *biased(f"{_ATTENTION}.query", "blk.{bid}.attn_q"),
        *biased(f"{_ATTENTION}.key", "blk.{bid}.attn_k"),
        *biased(f"{_ATTENTION}.value", "blk.{bid}.attn_v"),
        *tensor(f"{_ATTENTION}.layer_norm_q", "blk.{bid}.attn_q_norm", optional=True),
        *tensor(f"{_ATTENTION}.layer_norm_k", "blk.{bid}.attn_k_norm", optional=True),
        *biased(f"{_LAYER}.attention.output.dense", "blk.{bid}.attn_output"),
        *biased(f"{_LAYER}.attention.output.LayerNorm", "blk.{bid}.attn_output_norm"),
        *(_code_mlp() if of_code else _v2_mlp()),
        *tensor("classifier", "cls", optional=True),
    )


JINA_BERT_V2 = Family(
    arch="jina-bert-v2",
    keys=ENCODER_KEYS,
    rules=_rules,
    unused=UNUSED,
    prefixes=PREFIXES,
    defaults=lambda config: {"layer_norm_eps": 1e-12, "type_vocab_size": 2},
    vocab=("wordpiece", "bpe"),
)
