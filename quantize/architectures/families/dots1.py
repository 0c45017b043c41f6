"""dots.llm1: norms on each head of q and k, experts with shared ones after the dense blocks."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.families.qwen_moe import MOE_KEYS
from quantize.architectures.family import Family, TensorRule, class_defaults, on_blocks
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import boolean, f32, u32

_CORRECTION = "layers.{bid}.mlp.gate.e_score_correction_bias"


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    blocks = range(hp.block_count)
    n_dense = int(hp["first_k_dense_replace"])
    moe = (
        *decoder.MOE,
        *decoder.SHARED_EXPERTS,
        TensorRule(_CORRECTION, "blk.{bid}.exp_probs_b.bias", optional=True),
    )
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.UNTIED_HEAD,
        *decoder.NORMS,
        *decoder.QK_NORMS,
        *decoder.attention(),
        *on_blocks(blocks[:n_dense], decoder.MLP),
        *on_blocks(blocks[n_dense:], moe),
    )


DOTS1 = Family(
    arch="dots1",
    keys=(
        *MOE_KEYS,
        u32("leading_dense_block_count", "first_k_dense_replace"),
        u32("expert_shared_count", "n_shared_experts"),
        f32("expert_weights_scale", "routed_scaling_factor"),
        boolean("expert_weights_norm", "norm_topk_prob"),
    ),
    rules=_rules,
    defaults=class_defaults(
        rope_theta=10000.0,
        rms_norm_eps=1e-6,
        n_group=1,
        topk_group=1,
        first_k_dense_replace=0,
        norm_topk_prob=False,
        routed_scaling_factor=1.0,
    ),
)
