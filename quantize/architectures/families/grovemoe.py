"""GroveMoE: Qwen 3's mixture of experts, with a small expert for each two."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, class_defaults
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, f32, u32
from quantize.transforms import Stack

# Of the model's code; config.json is silent about them.
_PER_GROUP = 2
_GROUP_SCALE = 0.05


def _adjugates(hp: Hparams) -> tuple[TensorRule, ...]:
    """The small experts: "chunk experts" in llama.cpp."""
    groups = range(hp.n_expert // _PER_GROUP)

    def stacked(kind: str) -> TensorRule:
        source = f"layers.{{bid}}.mlp.chunk_experts.%d.{kind}_proj.weight"
        sources = tuple(source % group for group in groups)
        return TensorRule(sources, f"blk.{{bid}}.ffn_{kind}_chexps.weight", Stack())

    return (stacked("gate"), stacked("up"), stacked("down"))


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *decoder.NORMS,
        *decoder.attention(),
        *decoder.QK_NORMS,
        *decoder.MOE,
        *_adjugates(hp),
    )


GROVEMOE = Family(
    arch="grovemoe",
    keys=(
        *COMMON,
        u32("expert_feed_forward_length", "moe_intermediate_size"),
        u32("expert_chunk_feed_forward_length", lambda hp: hp.get("head_dim") or 128),
        u32("experts_per_group", lambda hp: _PER_GROUP),
        f32("expert_group_scale", lambda hp: _GROUP_SCALE),
    ),
    rules=_rules,
    unused=("layers.*.mlp.expert_bias",),
    defaults=class_defaults(),
)
