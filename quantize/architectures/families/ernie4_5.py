"""ERNIE 4.5: Llama's block with RoPE in pairs already, dense or with experts."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures import decoder
from quantize.architectures.family import (
    OTHER_MODALITIES,
    PREFIXES,
    Family,
    TensorRule,
    class_defaults,
    on_blocks,
)
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, u32, without

_DECODER = (
    *decoder.EMBEDDING,
    *decoder.OUTPUT_NORM,
    *decoder.HEAD,
    *decoder.NORMS,
    *decoder.attention(),
)


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (*_DECODER, *decoder.MLP)


_CORRECTION = TensorRule(
    "layers.{bid}.mlp.moe_statics.e_score_correction_bias", "blk.{bid}.exp_probs_b.bias"
)


def _moe_rules(hp: Hparams) -> tuple[TensorRule, ...]:
    step, start = int(hp["moe_layer_interval"]), int(hp["moe_layer_start_index"])
    end = int(hp.get("moe_layer_end_index", -1)) % hp.block_count
    moe = [bid for bid in range(start, end + 1) if (bid + 1) % step == 0]
    dense = [bid for bid in range(hp.block_count) if bid not in moe]
    shared = decoder.SHARED_EXPERTS if hp.get("moe_num_shared_experts") else ()
    return (
        *_DECODER,
        *on_blocks(dense, decoder.MLP),
        *on_blocks(moe, (*decoder.MOE, _CORRECTION, *shared)),
    )


ERNIE4_5 = Family(
    arch="ernie4_5",
    keys=COMMON,
    rules=_rules,
    prefixes=("ernie.", *PREFIXES),
    defaults=class_defaults(
        num_key_value_heads=2, head_dim=128, rope_theta=500000.0, rms_norm_eps=1e-5
    ),
    vocab=("spm", "spm-json"),
    vocab_options={"space_prefix": "last"},
)


# Pictures of text are read by the same decoder.
PADDLEOCR = replace(ERNIE4_5, arch="paddleocr", unused=(*OTHER_MODALITIES, "mlp_AR.*"))


def _shared_width(hp: Hparams) -> int | None:
    """As llama.cpp's converter has it; nothing in the model asks for the division by heads."""
    if not hp.get("moe_num_shared_experts"):
        return None
    return int(hp["intermediate_size"]) // hp.n_head_kv


ERNIE4_5_MOE = replace(
    ERNIE4_5,
    arch="ernie4_5-moe",
    keys=(
        *without(COMMON, "expert_count"),
        u32("expert_count", "moe_num_experts"),
        u32("expert_used_count", "moe_k"),
        u32("interleave_moe_layer_step", "moe_layer_interval"),
        u32("leading_dense_block_count", "moe_layer_start_index"),
        u32("expert_feed_forward_length", "moe_intermediate_size"),
        u32("expert_shared_count", "moe_num_shared_experts"),
        u32("expert_shared_feed_forward_length", _shared_width),
    ),
    rules=_moe_rules,
    unused=("mtp_block.*", "mtp_emb_norm.*", "mtp_hidden_norm.*", "mtp_linear_proj.*"),
    defaults=class_defaults(
        num_key_value_heads=4,
        rope_theta=500000.0,
        rms_norm_eps=1e-5,
        moe_num_experts=64,
        num_experts=lambda config: config.get("moe_num_experts", 64),
        moe_k=6,
        moe_num_shared_experts=2,
        moe_layer_start_index=1,
        moe_layer_interval=1,
        moe_intermediate_size=1536,
    ),
)
