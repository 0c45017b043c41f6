"""OLMo 1: Llama's layout with norms that have no weights."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, class_defaults
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, f32
from quantize.transforms import PermuteRope


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.HEAD,
        *decoder.attention(PermuteRope(hp.n_head), PermuteRope(hp.n_head_kv)),
        *decoder.MLP,
    )


OLMO = Family(
    arch="olmo",
    keys=(
        *COMMON,
        f32("attention.layer_norm_epsilon", lambda hp: 1e-5),
        f32("attention.clamp_kqv", "clip_qkv"),
    ),
    rules=_rules,
    defaults=class_defaults(rope_theta=10000.0),
)
