"""K-EXAONE: EXAONE 4's windows and head norms, norms before attention and MLP, and experts."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures import decoder
from quantize.architectures.families.exaone4 import EXAONE4
from quantize.architectures.family import TensorRule, on_blocks
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import boolean, f32, string, u32


def _n_dense(hp: Hparams) -> int:
    return int(hp.optional("first_k_dense_replace", "first_last_k_dense_replace") or 0)


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    dense, moe = range(_n_dense(hp)), range(_n_dense(hp), hp.block_count)
    blocks = range(hp.block_count)
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *on_blocks(blocks, (*decoder.NORMS, *decoder.QK_NORMS, *decoder.attention())),
        *on_blocks(dense, decoder.MLP),
        *on_blocks(moe, (*decoder.MOE, _CORRECTION, *decoder.SHARED_EXPERTS)),
    )


_CORRECTION = TensorRule(
    "layers.{bid}.mlp.e_score_correction_bias", "blk.{bid}.exp_probs_b.bias", optional=True
)

EXAONE_MOE = replace(
    EXAONE4,
    arch="exaone-moe",
    keys=(
        *EXAONE4.keys,
        u32("expert_feed_forward_length", "moe_intermediate_size"),
        u32("expert_shared_count", "num_shared_experts"),
        u32(
            "expert_shared_feed_forward_length",
            lambda hp: hp["moe_intermediate_size"] * hp["num_shared_experts"],
        ),
        f32("expert_weights_scale", "routed_scaling_factor"),
        boolean("expert_weights_norm", "norm_topk_prob"),
        u32("leading_dense_block_count", _n_dense),
        u32("nextn_predict_layers", lambda hp: hp.get("num_nextn_predict_layers", 0)),
        string("rope.scaling.type", lambda hp: "none"),
    ),
    rules=_rules,
)
