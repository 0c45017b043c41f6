"""A recipe as plain JSON values, for the manifest, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from quantize.recipes.ftypes import file_type
from quantize.recipes.layers import Layers
from quantize.recipes.recipe import Recipe
from quantize.recipes.steering import Steering, TypeRule


def record_of(recipe: Recipe) -> dict[str, Any]:
    """Everything about it but its name; what is empty or false is left out."""
    own = {"mix": recipe.mix.name, "id": recipe.id, "sha256": recipe.digest}
    return {**own, **_said(asdict(recipe.steering))}


def recipe_of(name: str, record: Mapping[str, Any]) -> Recipe:
    """The recipe of a record. Raises LookupError, TypeError or ValueError if it is none."""
    steering = {key: value for key, value in record.items() if key not in ("mix", "id", "sha256")}
    steering["rules"] = tuple(_rule(rule) for rule in record.get("rules", ()))
    mix = file_type(record["mix"])
    return Recipe(name, int(record["id"]), mix, Steering(**steering), record.get("sha256"))


def _rule(record: Mapping[str, Any]) -> TypeRule:
    values = dict(record)
    values["categories"] = tuple(record.get("categories", ()))
    values["tensors"] = tuple(record.get("tensors", ()))
    if "layers" in record:
        layers = dict(record["layers"])
        layers["listed"] = tuple(layers.get("listed", ()))
        values["layers"] = Layers(**layers)
    return TypeRule(**values)


def _said(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _said(entry) for key, entry in value.items() if entry}
    if isinstance(value, list | tuple):
        return [_said(entry) for entry in value]
    return value
