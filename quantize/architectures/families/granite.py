"""IBM's Granite 3: Llama's layout with four multipliers; as a mixture, w1 and w3 are one tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from quantize.architectures import decoder
from quantize.architectures.families.llama import LLAMA
from quantize.architectures.family import TensorRule, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, f32, u32, without
from quantize.transforms import Part, PermuteRope


def _unless_zero(name: str) -> Callable[[Hparams], Any]:
    return lambda hp: hp.get(name) or None


_DEFAULTS = {
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-6,
    "attention_multiplier": 1.0,
    "embedding_multiplier": 1.0,
    "residual_multiplier": 1.0,
    "logits_scaling": 1.0,
}

GRANITE = replace(
    LLAMA,
    arch="granite",
    keys=(
        # The model's code divides hidden_size by the heads, whatever head_dim says.
        *without(COMMON, "attention.key_length", "attention.value_length"),
        u32("vocab_size", "vocab_size"),
        u32("rope.dimension_count", lambda hp: hp.n_embd // hp.n_head),
        f32("attention.scale", _unless_zero("attention_multiplier")),
        f32("embedding_scale", _unless_zero("embedding_multiplier")),
        f32("residual_scale", _unless_zero("residual_multiplier")),
        f32("logit_scale", _unless_zero("logits_scaling")),
    ),
    defaults=class_defaults(**_DEFAULTS),
)


def _gate_and_up(source: str, suffix: str) -> tuple[TensorRule, ...]:
    dim = 1 if suffix == "_exps" else 0
    return tuple(
        TensorRule(source, f"blk.{{bid}}.ffn_{name}{suffix}.weight", Part(index, 2, dim))
        for index, name in enumerate(("gate", "up"))
    )


def mlp_rules(hp: Hparams) -> tuple[TensorRule, ...]:
    """Experts, what they share, or both; without experts, what they would share is the MLP."""
    rules: tuple[TensorRule, ...] = ()
    if hp.n_expert:
        moe = "layers.{bid}.block_sparse_moe"
        rules += (
            *tensor(f"{moe}.router.layer", "blk.{bid}.ffn_gate_inp"),
            *_gate_and_up(f"{moe}.input_linear.weight", "_exps"),
            *tensor(f"{moe}.output_linear", "blk.{bid}.ffn_down_exps"),
        )
    if hp.get("shared_intermediate_size"):
        suffix = "_shexp" if hp.n_expert else ""
        rules += (
            *_gate_and_up("layers.{bid}.shared_mlp.input_linear.weight", suffix),
            *tensor("layers.{bid}.shared_mlp.output_linear", f"blk.{{bid}}.ffn_down{suffix}"),
        )
    return rules


def _moe_rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *decoder.NORMS,
        *decoder.attention(PermuteRope(hp.n_head), PermuteRope(hp.n_head_kv)),
        *mlp_rules(hp),
    )


GRANITE_MOE = replace(
    GRANITE,
    arch="granitemoe",
    keys=(
        *GRANITE.keys,
        u32("expert_shared_feed_forward_length", _unless_zero("shared_intermediate_size")),
    ),
    rules=_moe_rules,
    defaults=class_defaults(**_DEFAULTS, num_local_experts=8, num_experts_per_tok=2),
)
