"""Running a Go template as Ollama would run it.

Strict where Go is lax: a field or variable that is not known raises GoTemplateError. Values are
Python's: dict for structures and maps, list, str, int, bool. Strings are measured in bytes of
UTF-8, as in Go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from datetime import datetime, timedelta
from typing import Any

from quantize.ollama.templates import go_syntax as syntax
from quantize.ollama.templates.conversations import JSON
from quantize.ollama.templates.go_syntax import Expression, GoTemplateError, Node

# Everything that a template computes with.
Value = Any
_Scope = dict[str, Value]


class GoTemplate:
    """A parsed template. Raises GoTemplateError for source outside the subset."""

    def __init__(self, source: str) -> None:
        self.body, self._defined = syntax.parse(source)

    def with_body(self, body: tuple[Node, ...]) -> GoTemplate:
        """The same with other nodes, which may call what it defines."""
        other = copy(self)
        other.body = body
        return other

    def render(self, data: Mapping[str, Value], now: datetime) -> str:
        """`data` is what `go_data` gives. Raises GoTemplateError."""
        run = _Run(self._defined, now)
        try:
            return "".join(run.walk(self.body, {".": data, "$": data}))
        except RecursionError:
            raise GoTemplateError("exceeded maximum template depth") from None
        except _Jump as jump:
            raise GoTemplateError(str(jump)) from None


class _Jump(Exception):  # noqa: N818 - no error, but what ends a turn of a range
    def __init__(self, word: str) -> None:
        super().__init__(f"{word} outside of a range")
        self.word = word


class _Run:
    """One execution. A scope maps names to values; its "." is the dot."""

    def __init__(self, defined: Mapping[str, Sequence[Node]], now: datetime) -> None:
        self._defined = defined
        yesterday = now - timedelta(days=1)
        self._functions: Mapping[str, Callable[..., Value]] = {
            **_FUNCTIONS,
            "currentDate": lambda: now.strftime("%Y-%m-%d"),
            "yesterdayDate": lambda: yesterday.strftime("%Y-%m-%d"),
        }

    def walk(self, nodes: Sequence[Node], scope: _Scope) -> Iterator[str]:
        for node in nodes:
            match node:
                case syntax.Text(text):
                    yield text
                case syntax.Print(value):
                    yield _printed(self._value(value, scope))
                case syntax.Assign(name, value, declares):
                    if not declares and name not in scope:
                        raise GoTemplateError(f"undefined variable {name}")
                    scope[name] = self._value(value, scope)
                case syntax.Template(name, value):
                    if name not in self._defined:
                        raise GoTemplateError(f"template {name!r} not defined")
                    dot = self._value(value, scope)
                    yield from self.walk(self._defined[name], {".": dot, "$": dot})
                case syntax.Block():
                    yield from self._block(node, scope)
                case syntax.Jump(word):
                    raise _Jump(word)

    def _block(self, block: syntax.Block, scope: _Scope) -> Iterator[str]:
        value = self._value(block.value, scope)
        if not value:
            yield from self._inside(block.otherwise, scope, {})
        elif block.word == "if":
            yield from self._inside(block.body, scope, {})
        elif block.word == "with":
            yield from self._inside(block.body, scope, {".": value})
        elif not isinstance(value, list):
            raise GoTemplateError(f"range can't iterate over {value!r}")
        else:
            for index, item in enumerate(value):
                # The last name is the item's, a name before it the index's.
                names = dict(zip(reversed(block.names), (item, index), strict=False))
                try:
                    yield from self._inside(block.body, scope, {".": item, **names})
                except _Jump as jump:
                    if jump.word == "break":
                        break

    def _inside(self, nodes: Sequence[Node], outer: _Scope, new: _Scope) -> Iterator[str]:
        """What is declared inside a block ends with it; changes of outer variables stay."""
        inner = {**outer, **new}
        own = {*new, *(n.name for n in nodes if isinstance(n, syntax.Assign) and n.declares)}
        try:
            yield from self.walk(nodes, inner)
        finally:
            outer.update({name: inner[name] for name in outer if name not in own})

    def _value(self, expression: Expression, scope: _Scope) -> Value:
        match expression:
            case syntax.Literal(value):
                return value
            case syntax.Variable(name):
                if name not in scope:
                    raise GoTemplateError(f"undefined variable {name}")
                return scope[name]
            case syntax.Field(inner, name):
                value = self._value(inner, scope)
                if not isinstance(value, dict) or name not in value:
                    raise GoTemplateError(f"can't evaluate field {name}")
                return value[name]
            case syntax.Function("and" | "or" as name, arguments):
                return self._first(arguments, scope, wanted=name == "or")
            case syntax.Function(name, arguments):
                values = [self._value(argument, scope) for argument in arguments]
                try:
                    return self._functions[name](*values)
                except (TypeError, LookupError, ValueError) as error:
                    raise GoTemplateError(f"error calling {name}: {error}") from error

    def _first(self, arguments: Sequence[Expression], scope: _Scope, *, wanted: bool) -> Value:
        """The first value that decides an or, an and; those after it are not computed."""
        value: Value = None
        for argument in arguments:
            value = self._value(argument, scope)
            if bool(value) is wanted:
                break
        return value


def _printed(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else _json(value)


def _json(value: Value) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_json, value))}]"
    if isinstance(value, dict) and JSON in value:
        value = value[JSON]
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # Go's encoder makes its output safe inside HTML and JavaScript.
    return re.sub("[<>&\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", text)


def _slice(value: Value, *bounds: int) -> Value:
    if isinstance(value, str):
        return _slice(_bytes(value), *bounds).decode("utf-8", "surrogateescape")
    start, stop = bounds if len(bounds) == 2 else (bounds[0], len(value))
    if not 0 <= start <= stop <= len(value):
        raise IndexError(f"index out of range: {stop}")
    return value[start:stop]


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def _equal(value: Value, *others: Value) -> bool:
    if any(type(value) is not type(other) for other in others):
        raise TypeError("incompatible types for comparison")
    return value in others


_FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "not": lambda value: not value,
    "eq": _equal,
    "ne": lambda one, other: not _equal(one, other),
    "lt": lambda one, other: one < other,
    "le": lambda one, other: one <= other,
    "gt": lambda one, other: one > other,
    "ge": lambda one, other: one >= other,
    "len": lambda value: len(_bytes(value) if isinstance(value, str) else value),
    "index": lambda value, key: value[key],
    "slice": _slice,
    "json": _json,
}
