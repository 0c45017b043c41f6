"""Writing Go text/template source: literal text as it is, actions on lines of their own.

A line break before `{{-` is taken away by the engine, and so would be white space that belongs to
the text before it: an action then stays on the same line. Text that the syntax or a Modelfile would
change is written as a string inside an action. Dates are written as what computes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from quantize.ollama.quoting import is_kept

# The day on which templates are probed. No template mentions it, so it is the current date.
NOW = datetime(2031, 2, 3)  # noqa: DTZ001 - what a wall clock shows, in no zone


@dataclass(frozen=True, slots=True)
class DateAction:
    """A piece of a date that Go computes."""

    code: str


class Month(StrEnum):
    """The name of the month, by the name of the template that makes it of "02"."""

    SHORT = "b"
    LONG = "B"


_DAY, _YEAR = DateAction("slice currentDate 8"), DateAction("slice currentDate 0 4")
_MONTH = "slice currentDate 5 7"
# How templates write today and yesterday -> texts, actions and months that do the same in Go.
_DATES: Mapping[str, tuple[str | DateAction | Month, ...]] = {
    "2031-02-03": (DateAction("currentDate"),),
    "2031-02-02": (DateAction("yesterdayDate"),),
    "03 Feb 2031": (_DAY, " ", Month.SHORT, " ", _YEAR),
    "03 February 2031": (_DAY, " ", Month.LONG, " ", _YEAR),
    "February 03, 2031": (Month.LONG, " ", _DAY, ", ", _YEAR),
}
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]

_SPECIAL = re.compile(r"(\{\{|\"\"\"|[^\x20-\x7e]|" + "|".join(map(re.escape, _DATES)) + ")")


class Writer:
    """Collects source."""

    def __init__(self) -> None:
        self._source: list[str] = []
        # Whether a line break may be put here: the text so far ends with no white space.
        self._may_break = False
        self._defines: dict[str, str] = {}

    def text(self, text: str) -> None:
        """What the prompt shall hold."""
        for piece in filter(None, _SPECIAL.split(text)):
            if piece in _DATES:
                self._date(_DATES[piece])
            elif piece == "{{" or not all(map(is_kept, piece)):
                self.code(go_string(piece))
            elif piece == '"""':
                # At the end of a line it would end the Modelfile's value.
                self._add(f'{piece}{{{{ "" }}}}')
            else:
                self._add(piece)

    def code(self, code: str) -> None:
        """An action, right here."""
        self._add(f"{{{{ {code} }}}}")

    def line(self, code: str) -> None:
        """An action on a new line, if a line break does not change the text before it."""
        if self._may_break:
            self._add(f"\n{{{{- {code} }}}}")
        else:
            self.code(code)

    def define(self, name: str, source: str) -> None:
        """A template that the actions call."""
        self._defines[name] = source

    def source(self) -> str:
        """Everything, after the templates that it calls."""
        main, defines = "".join(self._source), list(self._defines.values())
        if defines and main.startswith("{{ "):
            return "\n".join([*defines, main.replace("{{ ", "{{- ", 1)])
        return "\n".join(defines) + main

    def _add(self, piece: str) -> None:
        if piece.startswith("{{") and self._source and self._source[-1].endswith("{"):
            # A brace before an action would be read as part of it.
            self._source[-1] = f'{self._source[-1][:-1]}{{{{ "{{" }}}}'
        self._source.append(piece)
        self._may_break = not piece[-1].isspace()

    def _date(self, pieces: tuple[str | DateAction | Month, ...]) -> None:
        for piece in pieces:
            if isinstance(piece, Month):
                self.define(f"%{piece}", _month_template(piece))
                self.code(f'template "{piece}" {_MONTH}')
            elif isinstance(piece, DateAction):
                self.code(piece.code)
            else:
                self.text(piece)


def _month_template(form: Month) -> str:
    """A template that makes "Feb" or "February" of "02"."""
    chain = [
        f'{{{{ {"if" if number == 1 else "else if"} eq . "{number:02d}" }}}}'
        f"{month if form is Month.LONG else month[:3]}"
        for number, month in enumerate(_MONTHS, start=1)
    ]
    return f'{{{{- define "{form}" }}}}{"".join(chain)}{{{{ end }}}}{{{{ end }}}}'


_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def go_string(text: str) -> str:
    """`text` as a Go string literal of printable ASCII characters."""
    return f'"{"".join(map(_go_character, text))}"'


def _go_character(character: str) -> str:
    code = ord(character)
    if character in _ESCAPES or 0x20 <= code < 0x7F:
        return _ESCAPES.get(character, character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
