"""config.json as a family reads it: the text part lifted, aliases found."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.errors import CheckpointError
from quantize.tensors import Shape

# Far more blocks, or experts in a block, than any model has.
_MOST = 10_000
# Of heads, and of whatever else there is a number of: labels, copies, inputs.
_MOST_HEADS = 4096
_MOST_OF_ANYTHING = 100_000

# Where multimodal checkpoints keep the language model's part of config.json.
_TEXT_PARTS = ("text_config", "llm_config", "lm_config", "language_config")

# The field's many names for one number (transformers' configs, oldest models last).
BLOCK_COUNT = ("n_layers", "num_hidden_layers", "n_layer", "num_layers")
CONTEXT_LENGTH = (
    "max_position_embeddings", "n_ctx", "n_positions", "max_length",
    "max_sequence_length", "model_max_length",
)  # fmt: skip
EMBEDDING_LENGTH = ("hidden_size", "n_embd", "dim")
FEED_FORWARD_LENGTH = (
    "prefix_dense_intermediate_size", "dense_intermediate_size", "intermediate_size",
    "n_inner", "hidden_dim",
)  # fmt: skip
HEAD_COUNT = ("num_attention_heads", "n_head", "n_heads")
HEAD_COUNT_KV = ("num_key_value_heads", "n_kv_heads")
EXPERT_COUNT = ("num_local_experts", "num_experts", "n_routed_experts")
EXPERT_USED_COUNT = ("num_experts_per_tok", "num_experts_per_token", "top_k_experts")

_ROPE_THETA = (
    "global_rope_theta", "rope_global_theta", "rope_theta_global", "rope_theta", "rotary_emb_base",
)  # fmt: skip
_ROPE_THETA_LOCAL = (
    "local_rope_theta", "rope_local_theta", "rope_theta_local", "swa_rope_theta",
    "rope_local_base_freq",
)  # fmt: skip
_PARTIAL_ROTARY = ("partial_rotary_factor", "rope_pct", "rope_percent")


def text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a config says of its language model: its text part, or all of it if it has none."""
    # Models that also speak keep it where they think.
    thinker = config.get("thinker_config")
    holder = thinker if isinstance(thinker, Mapping) else config
    parts = (holder.get(part) for part in _TEXT_PARTS)
    return next((part for part in parts if isinstance(part, Mapping)), config)


def lift_text_part(config: Mapping[str, Any]) -> dict[str, Any]:
    """The text part of a multimodal config laid over the whole, as llama.cpp's converter does."""
    return {**config, **text_part(config)}


class Hparams(Mapping[str, Any]):
    """A model's hyper-parameters, and the little else that a family may look at.

    `config` is config.json after `lift_text_part` and the family's defaults; `shapes` are those of
    the source tensors by name; `read_json` gives another JSON file of the checkpoint by its
    relative name, or None; `read_values` gives a source tensor's values as float32, for the few
    models that have key-values made of weights; `read_names` what folder and card call the model,
    in lower case, for those that differ from others by their name alone.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        shapes: Mapping[str, Shape],
        read_json: Callable[[str], Any] = lambda name: None,
        read_values: Callable[[str], NDArray[np.float32]] | None = None,
        read_names: Callable[[], str] = lambda: "",
    ) -> None:
        self._config = dict(config)
        _check_counts(self._config)
        self.shapes = shapes
        self.read_json = read_json
        self._read_values = read_values
        self._read_names = read_names
        self.rope = _rope_parameters(self._config)

    def __getitem__(self, key: str) -> Any:
        if key not in self._config:
            raise _missing((key,))
        return self._config[key]

    def __contains__(self, key: object) -> bool:
        return key in self._config

    def __iter__(self) -> Iterator[str]:
        return iter(self._config)

    def __len__(self) -> int:
        return len(self._config)

    def get(self, key: str, default: Any = None) -> Any:
        return self._config.get(key, default)

    def first(self, *names: str) -> Any:
        """The value of the first of `names` that the config has."""
        for name in names:
            if name in self._config:
                return self._config[name]
        raise _missing(names)

    def optional(self, *names: str) -> Any:
        """Like `first`, but None when the config has none of them."""
        for name in names:
            if name in self._config:
                return self._config[name]
        return None

    def number(self, source: str) -> float:
        """The value of the one-element tensor whose name ends in `source`; reads weights."""
        for name, shape in self.shapes.items():
            if name.endswith(source) and math.prod(shape) == 1 and self._read_values is not None:
                return float(self._read_values(name).item())
        raise CheckpointError(
            "missing-tensors",
            f"no tensor of one number is named {source}",
            where=source,
            reason="the model's key-values are made from it",
            hint="download the checkpoint again",
        )

    @cached_property
    def names(self) -> str:
        """What folder (the first line) and card call the model, in lower case; read once."""
        return self._read_names()

    @property
    def full_rope(self) -> Mapping[str, Any]:
        """RoPE parameters of the layers with full attention."""
        rope: Mapping[str, Any] = self.rope.get("full_attention", self.rope)
        return rope

    @property
    def block_count(self) -> int:
        return _counted(self.first(*BLOCK_COUNT), BLOCK_COUNT)

    @property
    def n_embd(self) -> int:
        return int(self.first(*EMBEDDING_LENGTH))

    @property
    def n_head(self) -> int:
        return int(self.first(*HEAD_COUNT))

    @property
    def n_head_kv(self) -> int:
        found = self.optional(*HEAD_COUNT_KV)
        return self.n_head if found is None else int(found)

    @property
    def head_dim(self) -> int:
        found = self.get("head_dim")
        return self.n_embd // self.n_head if found is None else int(found)

    @property
    def n_expert(self) -> int:
        return _counted(self.optional(*EXPERT_COUNT) or 0, EXPERT_COUNT)


def _counted(value: Any, names: tuple[str, ...]) -> int:
    """A number of blocks or experts: rules are written out for each of them."""
    count = int(value)
    if 0 <= count <= _MOST:
        return count
    raise CheckpointError(
        "bad-hparam",
        f"{count} cannot be {names[0]}",
        where="config.json",
        reason=f"no model has more than {_MOST}",
    )


def _check_counts(config: Mapping[str, Any]) -> None:
    """Raise CheckpointError for numbers of parts that no model has: lists are made of them."""
    for name, value in config.items():
        most = _MOST_HEADS if name in (*HEAD_COUNT, *HEAD_COUNT_KV) else _MOST_OF_ANYTHING
        is_count = name.startswith("num_") or most == _MOST_HEADS
        if is_count and isinstance(value, int | float) and value > most:
            raise CheckpointError(
                "bad-hparam",
                f"{name} cannot be more than {most}",
                where="config.json",
                reason="no model has as many",
                hint="compare config.json with the one on the model's page",
            )


def _missing(names: tuple[str, ...]) -> CheckpointError:
    return CheckpointError(
        "missing-hparam",
        f"config.json has no {' or '.join(names)}",
        where="config.json",
        reason="the architecture cannot be described without it",
        hint="complete config.json, or download it again from the model's page",
    )


def _rope_parameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """rope_parameters (or the older rope_scaling) with the loose keys of older configs mirrored."""
    rope: dict[str, Any] = dict(config.get("rope_parameters", config.get("rope_scaling")) or {})
    if "full_attention" in rope or "sliding_attention" in rope:
        return rope

    def loose(names: tuple[str, ...]) -> Any:
        return next((config[name] for name in names if name in config), None)

    local_theta = loose(_ROPE_THETA_LOCAL)
    if local_theta is not None:
        rope["sliding_attention"] = {"rope_theta": local_theta}
    mirrored = {
        "rope_theta": loose(_ROPE_THETA),
        "rope_type": rope.get("type"),
        "partial_rotary_factor": loose(_PARTIAL_ROTARY),
        "original_max_position_embeddings": loose(("original_max_position_embeddings",)),
    }
    for key, value in mirrored.items():
        if key not in rope and value is not None:
            rope[key] = value
    return rope
