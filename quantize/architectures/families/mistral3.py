"""Mistral Small 3 and Ministral 3: Llama's layout under a name of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from quantize.architectures.families.llama import LLAMA
from quantize.architectures.family import TensorRule
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32
from quantize.errors import UnsupportedError


def _rules(hp: Hparams) -> Iterable[TensorRule]:
    if hp.get("model_type") == "mistral4":
        raise UnsupportedError(
            "mistral4",
            "Mistral 4 cannot be converted",
            where="config.json: model_type",
            reason="its text part has another layout under the same name",
        )
    return LLAMA.rules(hp)


def _of_ministral(name: str) -> Callable[[Hparams], Any]:
    """A RoPE parameter that only Ministral 3 has."""
    return lambda hp: hp.rope[name] if hp.get("model_type") == "ministral3" else None


MISTRAL3 = replace(
    LLAMA,
    arch="mistral3",
    keys=(
        *LLAMA.keys,
        f32("rope.scaling.yarn_log_multiplier", _of_ministral("mscale_all_dim")),
        f32("attention.temperature_scale", _of_ministral("llama_4_scaling_beta")),
    ),
    rules=_rules,
)
