"""adapter_config.json: what a PEFT adapter says of itself, and which kinds can be merged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from quantize.checkpoints.patterns import matches
from quantize.errors import CheckpointError, UnsupportedError

FILE = "adapter_config.json"

# AdapterSettings that change what the tensors mean; value: what would be merged wrongly.
OTHER_ARITHMETIC = {
    "layer_replication": "layers of the base that are used more than once",
    "target_parameters": "parameters that are not modules",
    "use_qalora": "inputs that are pooled first",
    "use_bdlora": "block-diagonal factors",
    "lora_bias": "biases of the factors",
    "arrow_config": "a router between several adapters",
    "velora_config": "compressed activations",
    "monteclora_config": "random factors",
    "kasa_config": "singular values of the base",
}
# Initializations that take from the base what they put into the factors.
_CHANGED_BASES = ("pissa", "olora", "corda", "loftq", "lora_ga")


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """`base` is what base_model_name_or_path names, "" where it names nothing."""

    rank: int
    alpha: float
    base: str
    rslora: bool
    fan_in_fan_out: bool
    dora: bool
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    trainable_tokens: Mapping[str, tuple[int, ...]]
    invocation_tokens: tuple[int, ...]

    def alpha_of(self, module: str) -> float:
        return float(_of_pattern(self.alpha_pattern, module, self.alpha))

    def scale_of(self, module: str, rank: int) -> float:
        """What the product of a module's factors of `rank` is multiplied with."""
        return self.alpha_of(module) / (math.sqrt(rank) if self.rslora else rank)

    def rank_of(self, module: str) -> int:
        return int(_of_pattern(self.rank_pattern, module, self.rank))


def read_settings(config: Any, where: str) -> AdapterSettings:
    """Understand a parsed adapter_config.json. Raises CheckpointError, UnsupportedError."""
    if not isinstance(config, Mapping):
        raise CheckpointError(
            "no-adapter-config",
            "there is no adapter_config.json" if config is None else "not a JSON object",
            where=f"{where}: {FILE}",
            reason="a PEFT adapter describes itself there",
            hint="give the folder that adapter_config.json is in",
        )
    _refuse_unknown(config, where)
    try:

        def patterns(key: str) -> Iterable[tuple[str, Any]]:
            return (config.get(key) or {}).items()

        tokens = config.get("trainable_token_indices") or {}
        if isinstance(tokens, list):
            tokens = {"embed_tokens": tokens}
        return AdapterSettings(
            rank=int(config["r"]),
            alpha=float(config["lora_alpha"]),
            base=str(config.get("base_model_name_or_path") or ""),
            rslora=bool(config.get("use_rslora")),
            fan_in_fan_out=bool(config.get("fan_in_fan_out")),
            dora=bool(config.get("use_dora")),
            rank_pattern={_pattern(k): int(v) for k, v in patterns("rank_pattern")},
            alpha_pattern={_pattern(k): float(v) for k, v in patterns("alpha_pattern")},
            trainable_tokens={str(name): tuple(map(int, ids)) for name, ids in tokens.items()},
            invocation_tokens=tuple(map(int, config.get("alora_invocation_tokens") or ())),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            "bad-adapter-config",
            "a setting is missing or makes no sense",
            where=f"{where}: {FILE}",
            reason=f"{type(error).__name__}: {error}",
            hint="download the adapter again",
        ) from error


def _refuse_unknown(config: Mapping[str, Any], where: str) -> None:
    kind = str(config.get("peft_type"))
    if kind != "LORA":
        raise _unsupported(
            where, f"peft_type is {kind}", "only LORA, with DoRA and RSLoRA, is read"
        )
    for key, what in OTHER_ARITHMETIC.items():
        if config.get(key):
            raise _unsupported(where, f"{key} is set", f"it stands for {what}")
    initialized = config.get("init_lora_weights")
    if isinstance(initialized, str) and initialized.lower().startswith(_CHANGED_BASES):
        raise _unsupported(
            where,
            f"init_lora_weights is {initialized!r}",
            "such an adapter belongs to a base whose weights were changed for it",
        )


def _unsupported(where: str, what: str, reason: str) -> UnsupportedError:
    return UnsupportedError(
        "unknown-adapter",
        f"this kind of adapter cannot be merged: {what}",
        where=f"{where}: {FILE}",
        reason=reason,
        hint="merge it with peft, and convert the merged model",
    )


def _pattern(key: str) -> str:
    """The key, once it is known to be a regular expression."""
    pattern = rf"(.*\.)?({key})$"
    matches(pattern, "")
    return pattern


def _of_pattern(patterns: Mapping[str, float], module: str, default: float) -> float:
    """Peft's rule: the first key that is the module's name, or the end of it after a dot."""
    for pattern, value in patterns.items():
        if matches(pattern, module):
            return value
    return default
