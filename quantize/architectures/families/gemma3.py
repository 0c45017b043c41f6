"""Gemma 3, also as the text part of its multimodal checkpoints, and EmbeddingGemma."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.architectures.decoder import HEAD, MLP, OUTPUT_NORM, QK_NORMS, attention, plus_one
from quantize.architectures.families.gemma import NO_SPACE_PREFIX, SANDWICH_NORMS
from quantize.architectures.family import OTHER_MODALITIES, Family, TensorRule
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, f32, u32
from quantize.architectures.pooling import POOLING
from quantize.architectures.sentence_modules import EMBEDDING_GEMMA_KEYS, embedding_gemma_rules
from quantize.transforms import FirstRows

# Gemma3TextConfig; the multimodal checkpoints leave out most of it.
_CLASS: Mapping[str, Any] = {
    "vocab_size": 262208,
    "max_position_embeddings": 131072,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "rms_norm_eps": 1e-6,
    "sliding_window": 4096,
    "rope_theta": 1e6,
    "rope_local_base_freq": 1e4,
}


def embedding(hp: Hparams) -> TensorRule:
    """Without rows beyond vocab_size: the list of tokens is padded to that, and no further."""
    return TensorRule("embed_tokens.weight", "token_embd.weight", FirstRows(int(hp["vocab_size"])))


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    blocks = (*SANDWICH_NORMS, *attention(), *QK_NORMS, *MLP)
    return (embedding(hp), *HEAD, *plus_one((*OUTPUT_NORM, *blocks)))


def _embedding_rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (*_rules(hp), *embedding_gemma_rules(hp))


def _sliding_window(hp: Hparams) -> int | None:
    """None when the pattern says that each layer sees everything."""
    return None if hp.get("sliding_window_pattern") == 1 else hp["sliding_window"]


_SOFTCAP = f32("final_logit_softcapping", lambda hp: hp.get("final_logit_softcapping") or None)

GEMMA3 = Family(
    arch="gemma3",
    keys=(*COMMON, _SOFTCAP, u32("attention.sliding_window", _sliding_window)),
    rules=_rules,
    unused=OTHER_MODALITIES,
    defaults=lambda config: _CLASS,
    vocab=("spm", "spm-json"),
    vocab_options={"after": (NO_SPACE_PREFIX,)},
)
GEMMA_EMBEDDING = Family(
    arch="gemma-embedding",
    keys=(
        *COMMON,
        _SOFTCAP,
        u32("attention.sliding_window", "sliding_window"),
        *EMBEDDING_GEMMA_KEYS,
        *POOLING,
    ),
    rules=_embedding_rules,
    ours_only=("dense_*",),
    defaults=lambda config: _CLASS,
    vocab=("spm", "spm-json"),
    vocab_options={"after": (NO_SPACE_PREFIX,)},
)
