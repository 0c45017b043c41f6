"""Qwen 3 Next: most layers are gated delta nets, and blocks behind the last predict ahead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from quantize.architectures.decoder import (
    EMBEDDING,
    HEAD,
    OUTPUT_NORM,
    QK_NORMS,
    attention,
    plus_one,
)
from quantize.architectures.families.qwen_moe import MOE_KEYS, SHARED_EXPERT, experts_of
from quantize.architectures.family import Family, TensorRule, on_blocks, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import array, u32
from quantize.transforms import Add, NegExp, Refold, Reshape, Span, Transform, Ungroup, chain

_DELTA = "layers.{bid}.linear_attn"
NORMS = (
    *tensor("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
    *tensor("layers.{bid}.post_attention_layernorm", "blk.{bid}.post_attention_norm"),
)
ATTENTION = (*attention(), *QK_NORMS)


def _delta_net(hp: Hparams) -> tuple[TensorRule, ...]:
    """q, k, v and the gate z are one tensor, in turn for each key head."""
    groups = int(hp["linear_num_key_heads"])
    key = int(hp["linear_key_head_dim"])
    value = inner_size(hp) // groups
    ordered = Ungroup(groups, (key, key, value, value))
    cut, end = groups * (2 * key + value), groups * 2 * (key + value)
    qkvz = f"{_DELTA}.in_proj_qkvz.weight"
    return (
        TensorRule(qkvz, "blk.{bid}.attn_qkv.weight", chain(ordered, Span(0, cut))),
        TensorRule(qkvz, "blk.{bid}.attn_gate.weight", chain(ordered, Span(cut, end))),
        TensorRule(f"{_DELTA}.in_proj_ba.weight", "blk.{bid}.ssm_ba.weight"),
        TensorRule(f"{_DELTA}.conv1d.weight", "blk.{bid}.ssm_conv1d.weight", convolution(hp)),
        TensorRule(f"{_DELTA}.A_log", "blk.{bid}.ssm_a", NegExp()),
        TensorRule(f"{_DELTA}.dt_bias", "blk.{bid}.ssm_dt.bias"),
        TensorRule(f"{_DELTA}.norm.weight", "blk.{bid}.ssm_norm.weight"),
        TensorRule(f"{_DELTA}.out_proj.weight", "blk.{bid}.ssm_out.weight"),
    )


def rules(
    hp: Hparams, delta_net: tuple[TensorRule, ...], mlp: tuple[TensorRule, ...]
) -> tuple[TensorRule, ...]:
    """A model whose blocks have `mlp` each, and `delta_net` or attention."""
    recurrent = [bid for bid, delta in enumerate(recurrent_blocks(hp)) if delta]
    full = [bid for bid in range(hp.block_count) if bid not in recurrent]
    predictor = plus_one((*NORMS, *ATTENTION, *mlp))
    norms: tuple[TensorRule, ...] = (*OUTPUT_NORM, *NORMS, *on_blocks(full, ATTENTION))
    ahead = [
        rule
        for index in range(predictors(hp))
        for rule in (*at_predictor(predictor, index, hp.block_count + index), *joint(index, hp))
    ]
    return (
        *EMBEDDING,
        *HEAD,
        *(norms if _is_mlx(hp) else plus_one(norms)),
        *on_blocks(recurrent, delta_net),
        *mlp,
        *ahead,
    )


def convolution(hp: Hparams) -> Transform:
    """(channels, 1, kernel), or (channels, kernel, 1) of MLX, as (channels, kernel)."""
    flat = (-1, int(hp["linear_conv_kernel_dim"]))
    return Refold(flat) if _is_mlx(hp) else Reshape(flat)


def _is_mlx(hp: Hparams) -> bool:
    """Whether mlx_lm saved it, which adds the 1 to norms and turns the convolution around."""
    shapes = (shape for name, shape in hp.shapes.items() if name.endswith("conv1d.weight"))
    return any(len(shape) == 3 and shape[1] > 1 == shape[2] for shape in shapes)


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return rules(hp, _delta_net(hp), (*experts_of(hp), *SHARED_EXPERT))


def at_predictor(rules: Iterable[TensorRule], index: int, bid: int) -> list[TensorRule]:
    """The rules of a block, for predictor `index` as block `bid`."""
    return [
        replace(
            rule,
            source=str(rule.source).replace("layers.{bid}", f"mtp.layers.{index}"),
            target=rule.target.replace("{bid}", str(bid)),
        )
        for rule in rules
    ]


def joint(index: int, hp: Hparams) -> tuple[TensorRule, ...]:
    """What only the first predictor has: the way from the last hidden state and the next token."""
    nextn = f"blk.{hp.block_count}.nextn"
    if index:
        return ()
    return (
        TensorRule("mtp.fc.weight", f"{nextn}.eh_proj.weight"),
        TensorRule("mtp.pre_fc_norm_embedding.weight", f"{nextn}.enorm.weight", Add()),
        TensorRule("mtp.pre_fc_norm_hidden.weight", f"{nextn}.hnorm.weight", Add()),
        TensorRule("mtp.norm.weight", f"{nextn}.shared_head_norm.weight", Add()),
    )


def predictors(hp: Hparams) -> int:
    """Blocks that predict further tokens (MTP): what the config says, else what is there."""
    numbers = [name.split("mtp.layers.")[1] for name in hp.shapes if "mtp.layers." in name]
    there = max((int(number.split(".")[0]) + 1 for number in numbers), default=0)
    return int(hp.get("mtp_num_hidden_layers") or there)


def recurrent_blocks(hp: Hparams) -> list[bool]:
    kinds = [kind == "linear_attention" for kind in hp["layer_types"]]
    return [*kinds, *[False] * predictors(hp)]


def inner_size(hp: Hparams) -> int:
    return int(hp["linear_value_head_dim"]) * int(hp["linear_num_value_heads"])


def _defaults(config: Mapping[str, Any]) -> Mapping[str, Any]:
    every = config.get("full_attention_interval", 4)
    kinds = ("full_attention", "linear_attention")
    layers = range(config.get("num_hidden_layers", 48))
    return {
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.25,
        "head_dim": 256,
        "full_attention_interval": every,
        "layer_types": [kinds[(bid + 1) % every > 0] for bid in layers],
    }


QWEN3_NEXT = Family(
    arch="qwen3next",
    keys=(
        *MOE_KEYS,
        u32("block_count", lambda hp: hp.block_count + predictors(hp)),
        u32("nextn_predict_layers", lambda hp: predictors(hp) or None),
        u32("ssm.conv_kernel", "linear_conv_kernel_dim"),
        u32("ssm.state_size", "linear_key_head_dim"),
        u32("ssm.group_count", "linear_num_key_heads"),
        u32("ssm.time_step_rank", "linear_num_value_heads"),
        u32("ssm.inner_size", inner_size),
        array("attention.recurrent_layers", "BOOL", recurrent_blocks),
        u32("full_attention_interval", "full_attention_interval"),
        u32(
            "rope.dimension_count",
            lambda hp: hp.head_dim * hp.full_rope.get("partial_rotary_factor", 0.25),
        ),
    ),
    rules=_rules,
    defaults=_defaults,
)
