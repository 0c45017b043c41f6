"""Arcee's Trinity: gated attention with a window in most blocks, four norms, experts."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures import decoder
from quantize.architectures.families.llama import LLAMA
from quantize.architectures.family import TensorRule, class_defaults, on_blocks, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import boolean, f32, u32

_MOE = (
    *tensor("layers.{bid}.mlp.router.gate", "blk.{bid}.ffn_gate_inp"),
    TensorRule("layers.{bid}.mlp.expert_bias", "blk.{bid}.exp_probs_b.bias", optional=True),
    *decoder.EXPERTS,
)


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    blocks, n_dense = range(hp.block_count), int(hp["num_dense_layers"])
    shared = decoder.SHARED_EXPERTS if hp.get("num_shared_experts") else ()
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *tensor("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
        *tensor("layers.{bid}.post_attention_layernorm", "blk.{bid}.post_attention_norm"),
        *tensor("layers.{bid}.pre_mlp_layernorm", "blk.{bid}.ffn_norm"),
        *tensor("layers.{bid}.post_mlp_layernorm", "blk.{bid}.post_ffw_norm"),
        *decoder.QK_NORMS,
        *decoder.attention(),
        *tensor("layers.{bid}.self_attn.gate_proj", "blk.{bid}.attn_gate"),
        *on_blocks(blocks[:n_dense], decoder.MLP),
        *on_blocks(blocks[n_dense:], (*_MOE, *shared)),
    )


AFMOE = replace(
    LLAMA,
    arch="afmoe",
    keys=(
        *LLAMA.keys,
        u32("expert_shared_count", "num_shared_experts"),
        u32("expert_feed_forward_length", "moe_intermediate_size"),
        u32("leading_dense_block_count", "num_dense_layers"),
        boolean("expert_weights_norm", "route_norm"),
        f32("expert_weights_scale", "route_scale"),
        u32("attention.sliding_window", "sliding_window"),
    ),
    rules=_rules,
    unused=(),
    defaults=class_defaults(rope_theta=10000.0),
)
