"""DistilBERT: BERT's encoder under other names, without token types."""

from __future__ import annotations

from quantize.architectures.families.bert import ENCODER_KEYS
from quantize.architectures.family import Family, TensorRule, biased
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32

_LAYER = "layer.{bid}"


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    rules = (
        TensorRule("embeddings.word_embeddings.weight", "token_embd.weight"),
        TensorRule("embeddings.position_embeddings.weight", "position_embd.weight"),
        *biased("embeddings.LayerNorm", "token_embd_norm"),
        *biased(f"{_LAYER}.attention.q_lin", "blk.{bid}.attn_q"),
        *biased(f"{_LAYER}.attention.k_lin", "blk.{bid}.attn_k"),
        *biased(f"{_LAYER}.attention.v_lin", "blk.{bid}.attn_v"),
        *biased(f"{_LAYER}.attention.out_lin", "blk.{bid}.attn_output"),
        *biased(f"{_LAYER}.sa_layer_norm", "blk.{bid}.attn_output_norm"),
        *biased(f"{_LAYER}.ffn.lin1", "blk.{bid}.ffn_up"),
        *biased(f"{_LAYER}.ffn.lin2", "blk.{bid}.ffn_down"),
        *biased(f"{_LAYER}.output_layer_norm", "blk.{bid}.layer_output_norm"),
    )
    if "pre_classifier.weight" not in hp.shapes:
        return rules
    return (*rules, *biased("pre_classifier", "cls"), *biased("classifier", "cls.output"))


DISTILBERT = Family(
    arch="bert",
    # The config has no epsilon; the model's code has this one.
    keys=(f32("attention.layer_norm_epsilon", lambda hp: 1e-12), *ENCODER_KEYS),
    rules=_rules,
    # The head of pre-training.
    unused=("vocab_transform.*", "vocab_layer_norm.*", "vocab_projector.*"),
    prefixes=("distilbert.transformer.", "distilbert.", "transformer."),
    vocab=("wordpiece",),
)
