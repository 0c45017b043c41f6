"""GLM-4.5 and 4.6: dense blocks first, then experts with a shared one, then a NextN block."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.families.glm4 import rotary_dimensions
from quantize.architectures.family import (
    OTHER_MODALITIES,
    Family,
    TensorRule,
    class_defaults,
    on_blocks,
    tensor,
)
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, boolean, f32, u32

# The block that predicts the token after the next one (multi-token prediction).
NEXTN = (
    *tensor("layers.{bid}.eh_proj", "blk.{bid}.nextn.eh_proj"),
    *tensor("layers.{bid}.enorm", "blk.{bid}.nextn.enorm"),
    *tensor("layers.{bid}.hnorm", "blk.{bid}.nextn.hnorm"),
    *tensor("layers.{bid}.embed_tokens", "blk.{bid}.nextn.embed_tokens", optional=True),
    *tensor("layers.{bid}.shared_head.head", "blk.{bid}.nextn.shared_head_head", optional=True),
    *tensor("layers.{bid}.shared_head.norm", "blk.{bid}.nextn.shared_head_norm", optional=True),
)


def block_count(hp: Hparams) -> int:
    return hp.block_count + int(hp.get("num_nextn_predict_layers", 0))


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    blocks = range(block_count(hp))
    n_dense = int(hp["first_k_dense_replace"])
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *on_blocks(
            blocks,
            (
                *tensor("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
                *tensor("layers.{bid}.post_attention_layernorm", "blk.{bid}.post_attention_norm"),
                *(decoder.QK_NORMS if hp.get("use_qk_norm") else ()),
                *decoder.attention(),
            ),
        ),
        *on_blocks(blocks[:n_dense], decoder.MLP),
        *on_blocks(
            blocks[n_dense:],
            (
                *decoder.MOE,
                TensorRule(
                    "layers.{bid}.mlp.gate.e_score_correction_bias", "blk.{bid}.exp_probs_b.bias"
                ),
                *(decoder.SHARED_EXPERTS if hp.get("n_shared_experts") else ()),
            ),
        ),
        *on_blocks(blocks[hp.block_count :], NEXTN),
    )


GLM4_MOE = Family(
    arch="glm4moe",
    keys=(
        *COMMON,
        u32("block_count", block_count),
        u32("rope.dimension_count", rotary_dimensions),
        u32("expert_feed_forward_length", "moe_intermediate_size"),
        u32("expert_shared_count", "n_shared_experts"),
        u32("leading_dense_block_count", "first_k_dense_replace"),
        u32("expert_gating_func", lambda hp: 2),  # sigmoid
        f32("expert_weights_scale", "routed_scaling_factor"),
        boolean("expert_weights_norm", "norm_topk_prob"),
        u32("nextn_predict_layers", "num_nextn_predict_layers"),
    ),
    rules=_rules,
    unused=OTHER_MODALITIES,
    defaults=class_defaults(
        num_key_value_heads=8,
        partial_rotary_factor=0.5,
        rope_theta=10000.0,
        rms_norm_eps=1e-5,
        num_experts_per_tok=8,
        n_shared_experts=1,
        routed_scaling_factor=1.0,
        n_group=1,
        topk_group=1,
        first_k_dense_replace=1,
        norm_topk_prob=True,
    ),
    vocab_options={
        "special": {
            "bos": "[gMASK]",
            "eot": "<|user|>",
            "unk": "<|endoftext|>",
            "eom": "<|observation|>",
        }
    },
)
