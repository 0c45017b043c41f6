"""XVERSE: Llama's layout under a name of its own."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, string, u32
from quantize.transforms import PermuteRope


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.UNTIED_HEAD,
        *decoder.NORMS,
        *decoder.attention(PermuteRope(hp.n_head), PermuteRope(hp.n_head_kv)),
        *decoder.MLP,
    )


XVERSE = Family(
    arch="xverse",
    keys=(
        *COMMON,
        string("tensor_data_layout", lambda hp: "Meta AI original pth"),
        u32("rope.dimension_count", lambda hp: hp.n_embd // hp.n_head),
    ),
    rules=_rules,
    vocab=("spm-json-unscored",),
)
