"""Qwen 3.5: Qwen 3 Next's gated delta nets with tensors of their own, dense or with experts.

Value heads are stored by the key head that they share; llama.cpp repeats the key heads as a whole,
so it wants the first value head of each key head, then the second of each, and so on.
"""

from __future__ import annotations

import math
from dataclasses import replace

from quantize.architectures.decoder import MLP
from quantize.architectures.families.qwen3next import QWEN3_NEXT, convolution, rules
from quantize.architectures.families.qwen_moe import SHARED_EXPERT, experts_of
from quantize.architectures.family import OTHER_MODALITIES, TensorRule, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import array
from quantize.architectures.pooling import POOLING
from quantize.transforms import NegExp, PermuteBlocks, Refold, Transform, Transpose, chain

_DELTA = "layers.{bid}.linear_attn"


def _tiled(before: int, keys: int, per_key: int, size: int) -> PermuteBlocks:
    """Value heads of `size` rows in llama.cpp's order, after `before` rows that stay."""
    unit = math.gcd(before, size)
    heads = [key * per_key + index for index in range(per_key) for key in range(keys)]
    moved = [
        (before + head * size) // unit + part for head in heads for part in range(size // unit)
    ]
    return PermuteBlocks((*range(before // unit), *moved))


def _delta_net(hp: Hparams) -> tuple[TensorRule, ...]:
    keys, values = int(hp["linear_num_key_heads"]), int(hp["linear_num_value_heads"])
    size, per_key = int(hp["linear_value_head_dim"]), values // keys
    before = 2 * keys * int(hp["linear_key_head_dim"])
    qkv, by_head = _tiled(before, keys, per_key, size), _tiled(0, keys, per_key, 1)
    conv = chain(convolution(hp), qkv)
    columns: Transform = chain(
        Refold((-1, keys, per_key, size)), Transpose((0, 2, 1, 3)), Refold((-1, values * size))
    )
    return (
        *tensor(f"{_DELTA}.in_proj_qkv", "blk.{bid}.attn_qkv", qkv),
        *tensor(f"{_DELTA}.in_proj_z", "blk.{bid}.attn_gate", _tiled(0, keys, per_key, size)),
        *tensor(f"{_DELTA}.in_proj_a", "blk.{bid}.ssm_alpha", by_head),
        *tensor(f"{_DELTA}.in_proj_b", "blk.{bid}.ssm_beta", by_head),
        TensorRule(f"{_DELTA}.conv1d.weight", "blk.{bid}.ssm_conv1d.weight", conv),
        TensorRule(f"{_DELTA}.A_log", "blk.{bid}.ssm_a", chain(by_head, NegExp())),
        TensorRule(f"{_DELTA}.dt_bias", "blk.{bid}.ssm_dt.bias", by_head),
        TensorRule(f"{_DELTA}.norm.weight", "blk.{bid}.ssm_norm.weight"),
        TensorRule(f"{_DELTA}.out_proj.weight", "blk.{bid}.ssm_out.weight", columns),
    )


def _dense(hp: Hparams) -> tuple[TensorRule, ...]:
    return rules(hp, _delta_net(hp), MLP)


def _mixture(hp: Hparams) -> tuple[TensorRule, ...]:
    return rules(hp, _delta_net(hp), (*experts_of(hp), *SHARED_EXPERT))


def _default_sections(hp: Hparams) -> list[int] | None:
    return None if "mrope_section" in hp.rope else [11, 11, 10, 0]


QWEN35 = replace(
    QWEN3_NEXT,
    arch="qwen35",
    keys=(*QWEN3_NEXT.keys, array("rope.dimension_sections", "INT32", _default_sections)),
    rules=_dense,
    unused=OTHER_MODALITIES,
)

QWEN35_MOE = replace(QWEN35, arch="qwen35moe", rules=_mixture)

QWEN35_TEXT = replace(QWEN35, keys=(*QWEN35.keys, *POOLING))
