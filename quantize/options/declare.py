"""How an option is declared: once, as a field of a group, with its flags and its help.

A group is a frozen dataclass of values as a person writes them. The command line makes its flags
of the fields, `--help` and docs/cli.md show them, and the API takes the groups themselves. What a
group means is worked out by the room that the group belongs to.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from quantize.errors import UsageError
from quantize.units import parse_size

_KEY = "flag"


class Size(str):
    """The kind of an option that takes bytes: 600MB, 4G, 2.5GiB, or a number in a program."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Flag:
    """How one option looks on the command line.

    `kind` is the type of its value, `many` whether it may be given again. `panel` is the heading in
    `--help`. `shows_default`: whether `--help` names the default.
    """

    names: tuple[str, ...]
    help: str
    kind: type
    many: bool
    metavar: str | None
    panel: str | None
    least: float | None
    most: float | None
    shows_default: bool


def option(
    default: Any,
    *names: str,
    help: str,  # noqa: A002 (Typer's word, too)
    kind: Any = str,
    metavar: str | None = None,
    panel: str | None = None,
    limits: tuple[float | None, float | None] = (None, None),
    shows_default: bool = False,
) -> Any:
    """A field of a group. `kind` is `list[...]` of what may be given several times.

    `limits` are the least and the most that a number may be.
    """
    many = get_origin(kind) is list
    one = get_args(kind)[0] if many else kind
    flag = Flag(names, help, one, many, metavar, panel, *limits, shows_default)
    return dataclasses.field(default=default, metadata={_KEY: flag})


def switch(*names: str, help: str, panel: str | None = None) -> Any:  # noqa: A002 (as above)
    """A field that is False unless its flag is given."""
    return option(False, *names, help=help, kind=bool, panel=panel)  # noqa: FBT003 (its value)


def secret(field: Any) -> Any:
    """The same field, whose value no text of the group shows."""
    field.repr = False
    return field


G = TypeVar("G", bound="Group")


@dataclass(frozen=True, kw_only=True)
class Group:
    """Base of the groups. Sequences become tuples, paths become Path, sizes become bytes.

    Raises UsageError("bad-option") for a value of another kind, and what parse_size raises.
    """

    def __post_init__(self) -> None:
        for name, flag in self.flags().items():
            object.__setattr__(self, name, _value(name, flag, getattr(self, name)))

    @classmethod
    def flags(cls) -> Mapping[str, Flag]:
        """The flags of all fields that have some, by the name of the field."""
        fields = dataclasses.fields(cls)
        return {field.name: field.metadata[_KEY] for field in fields if _KEY in field.metadata}

    def part(self, group: type[G]) -> G:
        """The values of a smaller group alone, for the room that it belongs to."""
        names = [field.name for field in dataclasses.fields(group)]
        return group(**{name: getattr(self, name) for name in names})


def _value(name: str, flag: Flag, value: object) -> object:
    if not flag.many:
        return None if value is None else _single(name, flag, value)
    if isinstance(value, str | bytes | os.PathLike) or not isinstance(value, Sequence):
        raise _bad(name, value, f"a sequence of {_KINDS[flag.kind]} belongs here")
    return tuple(_single(name, flag, one) for one in value)


def _single(name: str, flag: Flag, value: object) -> object:
    if flag.kind is Path and isinstance(value, str | os.PathLike):
        return Path(value)
    if flag.kind is Size and isinstance(value, str):
        return parse_size(value)
    if issubclass(flag.kind, StrEnum) and isinstance(value, str):
        return str(value)
    accepted: tuple[type, ...] = {Size: (int,), float: (int, float)}.get(flag.kind, (flag.kind,))
    if not isinstance(value, accepted) or (isinstance(value, bool) and flag.kind is not bool):
        raise _bad(name, value, f"{_KINDS.get(flag.kind, 'another kind of value')} belongs here")
    return value


_KINDS: Mapping[type, str] = {
    str: "text", int: "a whole number", float: "a number", bool: "True or False",
    Path: "a path", Size: "a size such as 600MB",
}  # fmt: skip


def _bad(name: str, value: object, reason: str) -> UsageError:
    return UsageError(
        "bad-option", f"{value!r} is not a value of {name}", where=name, reason=reason
    )
