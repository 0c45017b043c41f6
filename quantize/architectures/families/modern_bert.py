"""ModernBERT: a pre-norm encoder with RoPE, a gated MLP, and local attention in most layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.architectures.families.bert import ENCODER_KEYS
from quantize.architectures.family import Family, TensorRule, on_blocks, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import string, u32
from quantize.formats import kv

_LAYER = "layers.{bid}"

# ModernBertConfig.
_CLASS: Mapping[str, Any] = {
    "norm_eps": 1e-5,
    "global_rope_theta": 160000.0,
    "local_rope_theta": 10000.0,
    "global_attn_every_n_layers": 3,
    "local_attention": 128,
    "hidden_activation": "gelu",
    "classifier_pooling": "cls",
}


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        TensorRule("embeddings.tok_embeddings.weight", "token_embd.weight"),
        *tensor("embeddings.norm", "token_embd_norm"),
        *tensor("final_norm", "output_norm"),
        # The first block gets what the embedding's norm made.
        *on_blocks(range(1, hp.block_count), tensor(f"{_LAYER}.attn_norm", "blk.{bid}.attn_norm")),
        *tensor(f"{_LAYER}.attn.Wqkv", "blk.{bid}.attn_qkv"),
        *tensor(f"{_LAYER}.attn.Wo", "blk.{bid}.attn_output"),
        *tensor(f"{_LAYER}.mlp_norm", "blk.{bid}.ffn_norm"),
        *tensor(f"{_LAYER}.mlp.Wi", "blk.{bid}.ffn_up"),
        *tensor(f"{_LAYER}.mlp.Wo", "blk.{bid}.ffn_down"),
        *tensor("head.dense", "cls", optional=True),
        *tensor("head.norm", "cls.norm", optional=True),
        *tensor("classifier", "cls.output", optional=True),
    )


MODERN_BERT = Family(
    arch="modern-bert",
    keys=(
        *ENCODER_KEYS,
        u32("attention.sliding_window", "local_attention"),
        u32("attention.sliding_window_pattern", "global_attn_every_n_layers"),
        string("rope.scaling.type", lambda hp: "none"),
        u32("vocab_size", "vocab_size"),
        string("hidden_activation", "hidden_activation"),
    ),
    rules=_rules,
    # What predicts masked tokens, its weight tied to the embedding.
    unused=("decoder.*",),
    prefixes=("model.",),
    defaults=lambda config: _CLASS,
    vocab_options={
        "before": tuple(
            kv.boolean(f"tokenizer.ggml.add_{token}_token", value=True)
            for token in ("bos", "eos", "sep")
        )
    },
)
