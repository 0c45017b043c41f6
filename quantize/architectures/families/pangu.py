"""openPangu Embedded: Llama's block with a bias on every projection, and RoPE in halves."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, class_defaults
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, u32


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    head = () if hp.get("tie_word_embeddings") else decoder.HEAD
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *head,
        *decoder.NORMS,
        *decoder.attention(),
        *decoder.MLP,
    )


PANGU_EMBEDDED = Family(
    arch="pangu-embedded",
    keys=(
        *COMMON,
        u32("vocab_size", "vocab_size"),
        u32("rope.dimension_count", lambda hp: hp.head_dim),
        u32("attention.key_length", lambda hp: hp.head_dim),
        u32("attention.value_length", lambda hp: hp.head_dim),
    ),
    rules=_rules,
    unused=lambda hp: ("lm_head.weight",) if hp.get("tie_word_embeddings") else (),
    defaults=class_defaults(rope_theta=10000.0),
    vocab=("spm", "spm-json"),
    vocab_options={"space_prefix": "last"},
)
