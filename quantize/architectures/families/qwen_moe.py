"""Qwen 2 and Qwen 3 mixtures of experts."""

from __future__ import annotations

from quantize.architectures.decoder import (
    EMBEDDING,
    HEAD,
    MOE,
    NORMS,
    OUTPUT_NORM,
    QK_NORMS,
    UNTIED_HEAD,
    attention,
)
from quantize.architectures.family import Family, TensorRule, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, u32
from quantize.transforms import Part

_MLP = "layers.{bid}.mlp"
# transformers 5 writes the experts of a layer as two tensors.
_FUSED = f"{_MLP}.experts.gate_up_proj"

SHARED_EXPERT = (
    *tensor(f"{_MLP}.shared_expert.gate_proj", "blk.{bid}.ffn_gate_shexp"),
    *tensor(f"{_MLP}.shared_expert.up_proj", "blk.{bid}.ffn_up_shexp"),
    *tensor(f"{_MLP}.shared_expert.down_proj", "blk.{bid}.ffn_down_shexp"),
    TensorRule(f"{_MLP}.shared_expert_gate.weight", "blk.{bid}.ffn_gate_inp_shexp.weight"),
)
MOE_KEYS = (
    *COMMON,
    u32("expert_feed_forward_length", "moe_intermediate_size"),
    u32("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
)


def experts_of(hp: Hparams) -> tuple[TensorRule, ...]:
    """The router and the experts, each a tensor of its own or all of a layer together."""
    if not any(name.endswith("mlp.experts.gate_up_proj") for name in hp.shapes):
        return MOE
    return (
        TensorRule(f"{_MLP}.gate.weight", "blk.{bid}.ffn_gate_inp.weight"),
        TensorRule(_FUSED, "blk.{bid}.ffn_gate_exps.weight", Part(0, 2, dim=1)),
        TensorRule(_FUSED, "blk.{bid}.ffn_up_exps.weight", Part(1, 2, dim=1)),
        TensorRule(f"{_MLP}.experts.down_proj", "blk.{bid}.ffn_down_exps.weight"),
    )


def _qwen2(hp: Hparams) -> tuple[TensorRule, ...]:
    blocks = (*NORMS, *attention(), *experts_of(hp), *SHARED_EXPERT)
    return (*EMBEDDING, *OUTPUT_NORM, *UNTIED_HEAD, *blocks)


def _qwen3(hp: Hparams) -> tuple[TensorRule, ...]:
    blocks = (*NORMS, *attention(), *QK_NORMS, *experts_of(hp))
    return (*EMBEDDING, *OUTPUT_NORM, *HEAD, *blocks)


QWEN2_MOE = Family(
    arch="qwen2moe",
    keys=MOE_KEYS,
    rules=_qwen2,
    defaults=class_defaults(rope_theta=10000.0),
)
QWEN3_MOE = Family(
    arch="qwen3moe",
    keys=MOE_KEYS,
    rules=_qwen3,
    defaults=class_defaults(rope_theta=10000.0),
)
