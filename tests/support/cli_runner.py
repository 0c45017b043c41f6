"""The command line inside this process, and what its --json lines must look like."""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import pytest

from quantize.cli import build_app
from quantize.cli.events import base as events

ESCAPE = "\x1b"


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of stdout, each checked against the documented schema."""
        lines = [json.loads(line, parse_constant=_no_constant) for line in self.out.splitlines()]
        for line in lines:
            check_event(line)
        return lines

    def event(self, name: str) -> dict[str, Any]:
        (found,) = [line for line in self.events if line["event"] == name]
        return found


Cli = Callable[..., Ran]


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs the program as if its output went to a pipe, whatever this environment says."""
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            build_app()(arguments, prog_name="quantize")
        out, err = capsys.readouterr()
        return Ran(int(ended.value.code or 0), out, err)

    return run


_EVENTS = {get_args(get_type_hints(kind)["event"])[0]: kind for kind in get_args(events.Event)}


def check_event(line: dict[str, Any]) -> None:
    """Raise AssertionError unless `line` has the fields of its event and no others."""
    assert line["event"] in _EVENTS
    assert fits(line, _EVENTS[line["event"]]), line


def fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value has the type that an annotation says."""
    check = _CHECKS.get(get_origin(hint))
    if check is not None:
        return check(value, get_args(hint))
    if hasattr(hint, "__required_keys__"):
        fields = get_type_hints(hint, include_extras=True)
        return set(value) == set(fields) and all(fits(value[k], fields[k]) for k in fields)
    if isinstance(value, bool) and hint in (int, float):
        return False
    return hint is Any or isinstance(value, (int, float) if hint is float else hint)


_CHECKS: dict[Any, Callable[[Any, tuple[Any, ...]], bool]] = {
    Annotated: lambda value, arguments: fits(value, arguments[0]),
    Literal: lambda value, arguments: value in arguments,
    types.UnionType: lambda value, arguments: any(fits(value, one) for one in arguments),
    list: lambda value, arguments: (
        isinstance(value, list) and all(fits(entry, arguments[0]) for entry in value)
    ),
    dict: lambda value, arguments: (
        isinstance(value, dict) and all(fits(entry, arguments[1]) for entry in value.values())
    ),
}


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")
