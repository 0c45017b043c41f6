"""Apertus: an MLP of xIELU, whose learned numbers become key-values, one for each block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from quantize.architectures import decoder
from quantize.architectures.families.llama import LLAMA
from quantize.architectures.family import TensorRule, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import array


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *tensor("layers.{bid}.attention_layernorm", "blk.{bid}.attn_norm"),
        *tensor("layers.{bid}.feedforward_layernorm", "blk.{bid}.ffn_norm"),
        *decoder.attention(),
        *decoder.QK_NORMS,
        *decoder.UNGATED_MLP,
    )


def _of_each_block(name: str) -> Callable[[Hparams], list[float]]:
    return lambda hp: [
        hp.number(f"layers.{bid}.mlp.act_fn.{name}") for bid in range(hp.block_count)
    ]


APERTUS = replace(
    LLAMA,
    arch="apertus",
    early=tuple(
        array(f"xielu.{name}", "FLOAT32", _of_each_block(name))
        for name in ("alpha_n", "alpha_p", "beta", "eps")
    ),
    rules=_rules,
    unused=("layers.*.mlp.act_fn.*",),
    defaults=class_defaults(rope_theta=12000000.0, rms_norm_eps=1e-5),
)
