"""ERNIE 4.5, dense: Llama's block with RoPE in pairs already."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import PREFIXES, Family, Rule, class_defaults
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON


def _rules(hp: Hparams) -> tuple[Rule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *decoder.NORMS,
        *decoder.attention(),
        *decoder.MLP,
    )


ERNIE4_5 = Family(
    arch="ernie4_5",
    keys=COMMON,
    rules=_rules,
    prefixes=("ernie.", *PREFIXES),
    defaults=class_defaults(
        num_key_value_heads=2, head_dim=128, rope_theta=500000.0, rms_norm_eps=1e-5
    ),
    vocab=("spm",),
    vocab_options={"space_prefix": "last"},
)
