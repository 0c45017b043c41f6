"""MiniCPM 1, 2 and 4: a Llama with scaled embedding, residuals and logits."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.families.phi3 import longrope_factors
from quantize.architectures.family import Family, TensorRule, class_defaults
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, f32
from quantize.transforms import PermuteRope


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *decoder.NORMS,
        *decoder.attention(PermuteRope(hp.n_head), PermuteRope(hp.n_head_kv)),
        *decoder.MLP,
    )


MINICPM = Family(
    arch="minicpm",
    keys=(
        *COMMON,
        f32("embedding_scale", "scale_emb"),
        f32("residual_scale", lambda hp: hp["scale_depth"] / hp.block_count**0.5),
        f32("logit_scale", lambda hp: hp.n_embd / hp["dim_model_base"]),
    ),
    rules=_rules,
    generated=lambda hp: longrope_factors(hp, hp.n_embd // hp.n_head),
    defaults=class_defaults(),
    vocab=("spm", "spm-json"),
)
