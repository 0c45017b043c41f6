"""SmallThinker: experts in every block, chosen before the attention."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, class_defaults, experts, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, u32, without

_MOE = "layers.{bid}.block_sparse_moe"


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *decoder.NORMS,
        *decoder.attention(),
        *tensor(f"{_MOE}.primary_router", "blk.{bid}.ffn_gate_inp"),
        experts(f"{_MOE}.experts.{{eid}}.gate", "blk.{bid}.ffn_gate_exps"),
        experts(f"{_MOE}.experts.{{eid}}.up", "blk.{bid}.ffn_up_exps"),
        experts(f"{_MOE}.experts.{{eid}}.down", "blk.{bid}.ffn_down_exps"),
    )


def _gating(hp: Hparams) -> int:
    softmax, sigmoid = 1, 2
    return softmax if hp.get("moe_primary_router_apply_softmax") else sigmoid


def _window(hp: Hparams) -> int | None:
    return hp.get("sliding_window_size") if any(hp.get("sliding_window_layout") or ()) else None


SMALLTHINKER = Family(
    arch="smallthinker",
    keys=(
        *without(COMMON, "expert_count"),
        u32("expert_count", "moe_num_primary_experts"),
        u32("expert_used_count", "moe_num_active_primary_experts"),
        u32("expert_feed_forward_length", "moe_ffn_hidden_size"),
        u32("feed_forward_length", "moe_ffn_hidden_size"),
        u32("expert_gating_func", _gating),
        u32("attention.sliding_window", _window),
    ),
    rules=_rules,
    defaults=class_defaults(num_experts=lambda config: config.get("moe_num_primary_experts")),
)
