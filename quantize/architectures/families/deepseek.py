"""DeepSeek V1 (MoE 16B): Llama's attention, experts with shared ones after the dense blocks."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, on_blocks
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, f32, string, u32
from quantize.transforms import PermuteRope


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    blocks = range(hp.block_count)
    n_dense = int(hp["first_k_dense_replace"])
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.UNTIED_HEAD,
        *decoder.NORMS,
        *decoder.attention(PermuteRope(hp.n_head), PermuteRope(hp.n_head_kv)),
        *on_blocks(blocks[:n_dense], decoder.MLP),
        *on_blocks(blocks[n_dense:], (*decoder.MOE, *decoder.SHARED_EXPERTS)),
    )


DEEPSEEK = Family(
    arch="deepseek",
    keys=(
        *COMMON,
        u32("rope.dimension_count", lambda hp: hp.head_dim),
        string("rope.scaling.type", lambda hp: "none"),
        u32("leading_dense_block_count", "first_k_dense_replace"),
        u32("vocab_size", "vocab_size"),
        u32("expert_feed_forward_length", "moe_intermediate_size"),
        f32("expert_weights_scale", lambda hp: 1.0),
        u32("expert_count", "n_routed_experts"),
        u32("expert_shared_count", "n_shared_experts"),
    ),
    rules=_rules,
    vocab=("spm", "spm-json", "bpe"),
)
