"""Arcee's AFM: Llama with an MLP of squared ReLU, which has no gate."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures import decoder
from quantize.architectures.families.llama import LLAMA
from quantize.architectures.family import TensorRule
from quantize.architectures.hparams import Hparams
from quantize.architectures.pooling import POOLING
from quantize.transforms import PermuteRope


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *decoder.NORMS,
        *decoder.attention(PermuteRope(hp.n_head), PermuteRope(hp.n_head_kv)),
        *decoder.UNGATED_MLP,
    )


ARCEE = replace(LLAMA, arch="arcee", keys=(*LLAMA.keys, *POOLING), rules=_rules)
