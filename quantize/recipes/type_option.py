"""The text of --type: a file type, and behind commas the options of that file alone."""

from __future__ import annotations

import re
from dataclasses import replace

from quantize.errors import UsageError
from quantize.recipes.recipe import Recipe, check_name, plain
from quantize.recipes.steering import steering

# Options of --type as they are written, and whether a value belongs to them.
_OPTIONS = {
    "tensor-type": True,
    "output-tensor-type": True,
    "token-embedding-type": True,
    "leave-output-tensor": False,
    "pure": False,
    "allow-requantize": False,
    "as": True,
}
# A comma in a pattern is one of its own unless an option follows.
_BETWEEN = re.compile(rf",\s*(?=(?:{'|'.join(_OPTIONS)})\s*(?:=|,|$))")


def parse_type(text: str) -> Recipe:
    """TYPE[,OPTION[=VALUE]]..., such as Q5_K_M,output-tensor-type=Q8_0,as=Q5_K_L.

    Raises UnsupportedError for an unknown file type, UsageError for options.
    """
    name, *options = _BETWEEN.split(text)
    _check_known(name, text)
    recipe = plain(name)
    values: dict[str, list[str]] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if _OPTIONS[key.strip()] != bool(equals and value.strip()):
            raise _bad(text, f"{key} {'takes a' if _OPTIONS[key.strip()] else 'takes no'} value")
        values.setdefault(key.strip(), []).append(value.strip())
    for key, given in values.items():
        if key != "tensor-type" and len(given) > 1:
            raise _bad(text, f"{key} is given twice")
    steered = recipe.steered(
        steering(
            values.get("tensor-type", ()),
            output_type=_only(values, "output-tensor-type"),
            embedding_type=_only(values, "token-embedding-type"),
            leave_output="leave-output-tensor" in values,
            pure="pure" in values,
            allow_requantize="allow-requantize" in values,
        )
    )
    label = _only(values, "as")
    return steered if label is None else replace(steered, name=check_name(label, "--type"))


def _only(values: dict[str, list[str]], key: str) -> str | None:
    return values[key][0] if key in values else None


def _check_known(name: str, text: str) -> None:
    unknown = name.partition(",")[2]
    if unknown:
        raise _bad(text, f"{unknown.partition('=')[0]!r} is not an option of a type")


def _bad(text: str, reason: str) -> UsageError:
    return UsageError(
        "bad-type-option",
        f"{text!r} is not a type with options",
        where="--type",
        reason=reason,
        hint=f"TYPE,OPTION=VALUE with any of {', '.join(_OPTIONS)}",
    )
