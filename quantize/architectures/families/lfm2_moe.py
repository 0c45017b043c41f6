"""LFM2 with experts, chosen by a sigmoid with a learned bias, after the dense blocks."""

from __future__ import annotations

from quantize.architectures.families.lfm2 import MLP, heads_kv, operator_rules
from quantize.architectures.family import (
    Family,
    TensorRule,
    class_defaults,
    experts,
    on_blocks,
    tensor,
)
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, u32

_FFN = "layers.{bid}.feed_forward"

_MOE = (
    *tensor(f"{_FFN}.gate", "blk.{bid}.ffn_gate_inp"),
    TensorRule(f"{_FFN}.expert_bias", "blk.{bid}.exp_probs_b.bias", optional=True),
    experts(f"{_FFN}.experts.{{eid}}.w1", "blk.{bid}.ffn_gate_exps"),
    experts(f"{_FFN}.experts.{{eid}}.w2", "blk.{bid}.ffn_down_exps"),
    experts(f"{_FFN}.experts.{{eid}}.w3", "blk.{bid}.ffn_up_exps"),
)


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    blocks, n_dense = range(hp.block_count), int(hp["num_dense_layers"])
    return (
        *operator_rules(hp),
        *on_blocks(blocks[:n_dense], MLP),
        *on_blocks(blocks[n_dense:], _MOE),
    )


LFM2_MOE = Family(
    arch="lfm2moe",
    keys=(
        *COMMON,
        u32("attention.head_count_kv", heads_kv),
        u32("expert_feed_forward_length", "moe_intermediate_size"),
        u32("leading_dense_block_count", "num_dense_layers"),
        u32("expert_gating_func", lambda hp: 2),  # sigmoid
        u32("vocab_size", "vocab_size"),
        u32("shortconv.l_cache", "conv_L_cache"),
    ),
    rules=_rules,
    defaults=class_defaults(rope_theta=1000000.0, norm_eps=1e-5, conv_L_cache=3),
)
