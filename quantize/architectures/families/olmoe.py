"""OLMoE: every MLP a mixture of experts, norms over the full width of q and k."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, class_defaults
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, f32


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.UNTIED_HEAD,
        *decoder.NORMS,
        *decoder.QK_NORMS,
        *decoder.attention(),
        *decoder.MOE,
    )


OLMOE = Family(
    arch="olmoe",
    # llama.cpp's converter fixes the epsilon, whatever config.json says.
    keys=(*COMMON, f32("attention.layer_norm_rms_epsilon", lambda hp: 1e-5)),
    rules=_rules,
    defaults=class_defaults(rope_theta=10000.0, num_experts=64, num_experts_per_tok=8),
)
