"""Recipe files: a base file type, and rules over it by category, layers and pattern, in TOML."""

from __future__ import annotations

import contextlib
import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from quantize.errors import QuantizeError, UsageError
from quantize.recipes.categories import CATEGORIES
from quantize.recipes.layers import Layers
from quantize.recipes.patterns import compiled
from quantize.recipes.recipe import Recipe, check_name, plain
from quantize.recipes.steering import Steering, TypeRule, tensor_type

_KEYS = ("name", "description", "base", "pure", "rule")
_RULE_KEYS = ("regex", "category", "layers", "type", "why")
_LAYER_KEYS = ("first", "last", "every")
# No model has ten thousand layers.
_RANGE = re.compile(r"(\d{1,4})-(\d{1,4})")


def parse_recipe(content: bytes, file: str) -> Recipe:
    """The recipe that `content`, a TOML text, describes.

    `file` is its name: without a name of its own the recipe is called by that, without the suffix.
    Raises UsageError that names file, rule and key.
    """
    try:
        table = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _bad(file, "not valid TOML", str(error)) from error
    _check_keys(table, _KEYS, file)
    name = check_name(_text(table, "name", file, PurePath(file).stem), f"{file}: name")
    _text(table, "description", file, "")
    rules = table.get("rule", [])
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise _bad(f"{file}: rule", "rules are tables", hint="[[rule]] before each")
    with _reading(f"{file}: base"):
        base = plain(_text(table, "base", file))
    steering = Steering(
        tuple(
            _rule(rule, f"{file}: rule {number}", f"recipe rule {number}")
            for number, rule in enumerate(rules, 1)
        ),
        pure=_flag(table, "pure", file),
    )
    digest = hashlib.sha256(content).hexdigest()
    return replace(base, name=name, steering=steering, digest=digest)


def _rule(table: Mapping[str, Any], where: str, said: str) -> TypeRule:
    _check_keys(table, _RULE_KEYS, where)
    if not table.keys() & {"regex", "category", "layers"}:
        raise _bad(where, "it is for no tensors", hint="give regex, category or layers")
    regex = _text(table, "regex", where, "") or None
    if regex is not None:
        with _reading(f"{where}: regex"):
            compiled(regex)
    why = _text(table, "why", where, "")
    with _reading(f"{where}: type"):
        wanted = tensor_type(_text(table, "type", where), where)
    return TypeRule(
        wanted,
        f"{said}, {why}" if why else said,
        regex,
        _categories(table.get("category", []), f"{where}: category"),
        _layers(table["layers"], f"{where}: layers") if "layers" in table else None,
        optional=True,
    )


def _categories(value: object, where: str) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(name in CATEGORIES for name in names):
        raise _bad(where, f"{value!r} is not a category of tensors", hint=", ".join(CATEGORIES))
    return tuple(names)


def _layers(value: object, where: str) -> Layers:
    if isinstance(value, list):
        return Layers(listed=tuple(layer for one in value for layer in _listed(one, where)))
    if not isinstance(value, dict) or not value:
        hint = '{ first = 4, last = 0.125, every = 3 } or a list such as [0, "4-7"]'
        raise _bad(where, f"{value!r} are not layers", hint=hint)
    _check_keys(value, _LAYER_KEYS, where)
    for key, number in value.items():
        whole = isinstance(number, int) and not isinstance(number, bool) and number > 0
        part = isinstance(number, float) and 0 < number < 1 and key != "every"
        if not (whole or part):
            hint = "a number of layers" + ("" if key == "every" else ", or a part such as 0.125")
            raise _bad(f"{where}: {key}", f"{number!r} is not possible", hint=hint)
    return Layers(**value)


def _listed(value: object, where: str) -> range:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return range(value, value + 1)
    found = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if found is None or int(found[1]) > int(found[2]):
        hint = 'numbers from 0, or ranges such as "4-7"'
        raise _bad(where, f"{value!r} is not a layer", hint=hint)
    return range(int(found[1]), int(found[2]) + 1)


def _check_keys(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            raise _bad(f"{where}: {key}", "no such key", hint=f"the keys are {', '.join(known)}")


def _text(table: Mapping[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = table.get(key, default)
    if value is None:
        raise _bad(f"{where}: {key}", "the key is missing")
    if not isinstance(value, str):
        raise _bad(f"{where}: {key}", f"{value!r} is not text", hint=f'{key} = "..."')
    return value


def _flag(table: Mapping[str, Any], key: str, where: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise _bad(f"{where}: {key}", f"{value!r} is neither true nor false")
    return value


@contextlib.contextmanager
def _reading(where: str) -> Iterator[None]:
    """Errors about a value say where it is."""
    try:
        yield
    except QuantizeError as error:
        raise _bad(where, error.message, error.reason, error.hint) from error


def _bad(
    where: str, message: str, reason: str | None = None, hint: str | None = None
) -> UsageError:
    return UsageError("bad-recipe", message, where=where, reason=reason, hint=hint)
