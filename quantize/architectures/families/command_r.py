"""Cohere's Command R: attention and MLP in parallel after one norm, the head always tied."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, f32, string, u32


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *tensor("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
        *(decoder.QK_NORMS if hp.get("use_qk_norm") else ()),
        *decoder.attention(),
        *decoder.MLP,
    )


COMMAND_R = Family(
    arch="command-r",
    keys=(
        *COMMON,
        # max_position_embeddings is the 8192 that the first checkpoints started training with.
        u32("context_length", "model_max_length", "max_position_embeddings"),
        f32("logit_scale", "logit_scale"),
        string("rope.scaling.type", lambda hp: "none"),
    ),
    rules=_rules,
    defaults=class_defaults(
        rope_theta=10000.0, layer_norm_eps=1e-5, logit_scale=0.0625, max_position_embeddings=8192
    ),
)
