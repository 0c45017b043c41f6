"""MiniMax M2: Mixtral's experts chosen by a sigmoid, norms over the full width of q and k."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.families.llama import MIXTRAL_MOE
from quantize.architectures.family import Family, TensorRule, class_defaults
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, u32

_CORRECTION = "layers.{bid}.block_sparse_moe.e_score_correction_bias"


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.UNTIED_HEAD,
        *decoder.NORMS,
        *decoder.QK_NORMS,
        *decoder.attention(),
        *MIXTRAL_MOE,
        TensorRule(_CORRECTION, "blk.{bid}.exp_probs_b.bias", optional=True),
    )


MINIMAX_M2 = Family(
    arch="minimax-m2",
    keys=(
        *COMMON,
        u32("expert_feed_forward_length", "intermediate_size"),
        u32("rope.dimension_count", "rotary_dim"),
    ),
    rules=_rules,
    defaults=class_defaults(),
)
