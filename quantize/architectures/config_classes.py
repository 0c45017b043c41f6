"""What transformers' config classes have where config.json says nothing.

llama.cpp's converter reads config.json through these classes. config_classes.json is written by
scripts/write_config_classes.py. A class that transformers does not have fills in nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from quantize.architectures.hparams import EXPERT_COUNT

# One number in its many places: where one of them is said, the class's own is not meant.
_ROPE_PLACES = ("rope_parameters", "rope_scaling")
_SAME = {
    "rope_theta": (
        "global_rope_theta", "rope_global_theta", "rope_theta_global", "rotary_emb_base",
    ),
    "partial_rotary_factor": ("rope_pct", "rope_percent", "rotary_pct", "rotary_dim"),
}  # fmt: skip

_COMPUTED: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "num_key_value_heads": lambda known: known["num_attention_heads"],
    "head_dim": lambda known: int(known["hidden_size"]) // int(known["num_attention_heads"]),
}


def class_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that `config`, after `lift_text_part`, does not have, as its class fills them in."""
    entry = _class_of(config.get("model_type"))
    said = {*config, *(entry.get("aliases", {}).get(name) for name in config)}
    for place in _ROPE_PLACES:
        said |= _names_in(config.get(place))
    for field, others in _SAME.items():
        if not said.isdisjoint(others):
            said.add(field)
    if said.isdisjoint(EXPERT_COUNT):
        said |= set(entry.get("experts", ()))
    fields = {name: value for name, value in entry["fields"].items() if name not in said}
    known = {**fields, **config}
    for name in entry.get("computed", ()):
        if name not in said:
            fields[name] = _COMPUTED[name](known)
    return fields


def _class_of(model_type: object) -> Mapping[str, Any]:
    table = _table()
    entry = table.get(_plain(model_type)) if isinstance(model_type, str) else None
    if entry is None:
        return {"fields": {}}
    # A text part that does not say what it is.
    text: Mapping[str, Any] = table.get(_plain(entry.get("text", "")), entry)
    return text


def _plain(model_type: str) -> str:
    """Some checkpoints spell it as the class: Glm4vMoe_text."""
    return model_type.lower().replace("_", "")


def _names_in(rope: object) -> set[str]:
    """The names of RoPE parameters, also of those for each kind of layer."""
    if not isinstance(rope, Mapping):
        return set()
    return {*rope, *(name for part in rope.values() for name in _names_in(part))}


@cache
def _table() -> Mapping[str, Any]:
    path = Path(__file__).with_suffix(".json")
    return {_plain(key): entry for key, entry in json.loads(path.read_text("utf-8")).items()}
