"""Write quantize/architectures/config_classes.json from the config classes of transformers 5.

    python scripts/write_config_classes.py

Needs transformers (no torch). A line for each model_type that a class name of
quantize.architectures belongs to:

    fields   what the class has where config.json says nothing, of the names that quantize reads.
             What a class works out of other fields is not here; families say it (`defaults`).
    aliases  other names of a field, under which config.json may have it
    computed of num_key_value_heads and head_dim, those that the class makes of the number of heads
    experts  fields that count only where config.json says how many experts there are
    text     the model_type of the text part, where that does not name its own
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

from quantize.architectures import ARCHITECTURES

AUTO = "transformers.models.auto"
CONFIG_MAPPING: Any = importlib.import_module(f"{AUTO}.configuration_auto").CONFIG_MAPPING
MODELS = vars(importlib.import_module(f"{AUTO}.modeling_auto"))

ROOM = Path(__file__).parent.parent / "quantize" / "architectures"
TARGET = ROOM / "config_classes.json"
# Of a composite config, in the order of hparams.lift_text_part.
TEXT_PARTS = ("thinker_config", "text_config", "llm_config", "lm_config", "language_config")
# The vocabulary's own rows count; tokens are not sizes; a pooling is a thing to say.
LEFT_OUT = {
    "vocab_size", "bos_token_id", "eos_token_id", "pad_token_id", "architectures",
    "classifier_pooling",
}  # fmt: skip
# Classes that came to transformers after their models, whose config.json has other names or other
# meanings.
OTHERS = {"eurobert", "nomic_bert"}
# Classes of models with experts that models without share: no word of them means none.
EXPERTS = {
    "nemotron_h": [
        "n_routed_experts", "n_shared_experts", "moe_intermediate_size",
        "moe_shared_expert_intermediate_size", "num_experts_per_tok", "routed_scaling_factor",
        "n_group", "topk_group", "norm_topk_prob",
    ],
}  # fmt: skip
# Values that are no fields of a class, and that it has nonetheless.
BESIDES = ("num_nextn_predict_layers",)


def names_read() -> set[str]:
    """Every string in the package that could be a field of config.json."""
    found: set[str] = set()
    for path in ROOM.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            if isinstance(node, ast.keyword) and node.arg:
                found.add(node.arg)
    return {name for name in found if name.isidentifier()} - LEFT_OUT


def model_types() -> set[str]:
    # Models with code of their own spell their classes otherwise: MPTForCausalLM.
    ours = {name.lower() for name in ARCHITECTURES}
    found: set[str] = set()
    for name, mapping in MODELS.items():
        if name.startswith("MODEL_") and name.endswith("_MAPPING_NAMES"):
            for model_type, named in mapping.items():
                classes = named if isinstance(named, tuple | list) else (named,)
                if ours.intersection(one.lower() for one in classes):
                    found.add(model_type)
    # Those that have no automatic class: Qwen2_5OmniModel is one of qwen2_5_omni.
    plain = [name.replace("_", "") for name in ours]
    found |= {
        model_type
        for model_type in CONFIG_MAPPING
        if any(name.startswith(model_type.replace("_", "")) for name in plain)
    }
    return found - OTHERS


def text_part(config: Any) -> str | None:
    for name in TEXT_PARTS:
        part = getattr(config, name, None)
        model_type = getattr(part, "model_type", "")
        if model_type:
            return text_part(part) or str(model_type)
    return None


def computed(usual: Any) -> dict[str, Any]:
    """What classes make of the number of heads, where they have nothing of their own."""
    heads, size = (getattr(usual, name, None) for name in ("num_attention_heads", "hidden_size"))
    if not isinstance(heads, int) or not isinstance(size, int):
        return {"num_key_value_heads": heads}
    return {"num_key_value_heads": heads, "head_dim": size // heads}


def described(kind: Any, wanted: set[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    names: dict[str, str] = dict(kind.attribute_map)
    for field in dataclasses.fields(kind):
        aliases = {alias for alias, name in names.items() if name == field.name}
        plain = isinstance(field.default, bool | int | float | str)
        if plain and field.default != "auto" and wanted.intersection({field.name, *aliases}):
            fields[field.name] = field.default
    usual = kind()
    fields |= {name: getattr(usual, name) for name in BESIDES if hasattr(usual, name)}
    rope = getattr(usual, "rope_parameters", None)
    if isinstance(rope, dict):
        for key in ("rope_theta", "partial_rotary_factor"):
            if isinstance(rope.get(key), int | float):
                fields[key] = rope[key]
    entry: dict[str, Any] = {"fields": fields}
    entry["computed"] = [
        name
        for name, value in computed(usual).items()
        if value is not None and getattr(kind, name, 0) is None and getattr(usual, name) == value
    ]
    if not entry["computed"]:
        del entry["computed"]
    entry["aliases"] = {alias: name for alias, name in names.items() if name in fields}
    if not entry["aliases"]:
        del entry["aliases"]
    if text := text_part(usual):
        entry["text"] = text
    return entry


def main() -> None:
    wanted, waiting = names_read(), sorted(model_types())
    table: dict[str, Any] = {}
    while waiting:
        model_type = waiting.pop()
        if model_type in table or model_type not in CONFIG_MAPPING:
            continue
        table[model_type] = described(CONFIG_MAPPING[model_type], wanted)
        if model_type in EXPERTS:
            table[model_type]["experts"] = EXPERTS[model_type]
        waiting += [table[model_type]["text"]] if "text" in table[model_type] else []
    lines = [f"{json.dumps(key)}: {json.dumps(table[key])}" for key in sorted(table)]
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
