"""Qwen 3, dense: Qwen 2 with norms on each head of q and k instead of biases."""

from __future__ import annotations

from quantize.architectures.decoder import (
    EMBEDDING,
    HEAD,
    MLP,
    NORMS,
    OUTPUT_NORM,
    QK_NORMS,
    attention,
)
from quantize.architectures.families.qwen3_reranker import RERANK, rerank_head
from quantize.architectures.family import Family, TensorRule, class_defaults
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON
from quantize.architectures.pooling import POOLING


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    head = rerank_head(hp) or HEAD
    return (*EMBEDDING, *OUTPUT_NORM, *head, *NORMS, *attention(), *QK_NORMS, *MLP)


QWEN3 = Family(
    arch="qwen3",
    keys=(*COMMON, *POOLING, *RERANK),
    rules=_rules,
    defaults=class_defaults(rope_theta=10000.0, head_dim=128),
    vocab=("spm", "spm-json", "bpe"),
)
