"""Modelfiles read as Ollama reads them, whoever wrote them.

One command is WORD, a space, VALUE; PARAMETER and MESSAGE have a name between them, with exactly
one space on each side. Values know no escapes, and characters that are not printable vanish.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from quantize.errors import UsageError
from quantize.ollama.quoting import is_kept

WORDS = frozenset({
    "from", "parameter", "template", "system", "license", "message", "adapter", "draft",
    "renderer", "parser", "requires",
})  # fmt: skip
_NAMED = frozenset({"parameter", "message"})
ROLES = frozenset({"system", "user", "assistant"})
_LINE_ENDS = "\r\n"
_BLANKS = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Instruction:
    """`name` is that of a parameter or the role of a message, else empty."""

    word: str
    name: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Modelfile:
    """What a Modelfile says; `dropped` are the characters that Ollama's reader loses."""

    commands: tuple[Instruction, ...]
    dropped: tuple[str, ...]

    def values(self, word: str, name: str = "") -> tuple[str, ...]:
        """All values of an instruction, or of one parameter, in order."""
        return tuple(c.value for c in self.commands if (c.word, c.name) == (word, name))

    def last(self, word: str) -> str | None:
        """The value that counts where the last one does; an empty one counts as none."""
        values = self.values(word)
        return (values[-1] or None) if values else None

    def parameters(self) -> dict[str, tuple[str, ...]]:
        """Texts of each parameter; of all but `stop`, the last one counts."""
        found: dict[str, tuple[str, ...]] = {}
        for command in self.commands:
            if command.word == "parameter":
                before = found.get(command.name, ()) if command.name == "stop" else ()
                found[command.name] = (*before, command.value)
        return found


def read_modelfile(data: bytes, where: str) -> Modelfile:
    """The commands of a Modelfile. Raises UsageError("bad-modelfile") for what Ollama refuses."""
    text = _decoded(data)
    kept = "".join(filter(is_kept, text))
    commands = tuple(_commands(_Cursor(kept, where)))
    if not any(command.word == "from" for command in commands):
        raise _error(where, "it has no FROM line")
    dropped = dict.fromkeys(character for character in text if not is_kept(character))
    return Modelfile(commands, tuple(dropped))


def _decoded(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "replace")


def _error(where: str, message: str) -> UsageError:
    return UsageError(
        "bad-modelfile",
        f"Ollama would refuse this Modelfile: {message}",
        where=where,
        hint="write one with `quantize modelfile FILE.gguf`",
    )


class _Cursor:
    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.position = 0
        self.where = where

    def fail(self, message: str) -> NoReturn:
        raise _error(f"{self.where}: line {self.line}", message)

    @property
    def line(self) -> int:
        """Ollama counts each end of line, CR and LF apart; people's editors do not."""
        return len(self.text[: self.position].splitlines()) + (not self._inside_line())

    def _inside_line(self) -> bool:
        return self.position > 0 and self.text[self.position - 1] not in _LINE_ENDS

    def skip(self, characters: str) -> bool:
        """Go past these characters; whether anything follows them."""
        while self.position < len(self.text) and self.text[self.position] in characters:
            self.position += 1
        return self.position < len(self.text)

    def line_end(self, start: int) -> int:
        """Where the line that holds `start` ends, or the text."""
        ends = (self.text.find(character, start) for character in _LINE_ENDS)
        return min((end for end in ends if end >= 0), default=len(self.text))


def _commands(cursor: _Cursor) -> Iterator[Instruction]:
    while cursor.skip(_BLANKS):
        if cursor.text[cursor.position] == "#":
            cursor.position = cursor.line_end(cursor.position)
            continue
        line = cursor.line
        word = _word(cursor).lower()
        if word not in WORDS:
            cursor.fail(f"{word!r} is not an instruction")
        name = _word(cursor) if word in _NAMED else ""
        if word == "message" and name not in ROLES:
            cursor.fail(f"a message is of {', '.join(sorted(ROLES))}, not {name!r}")
        yield Instruction(word, name, _value(cursor), line)


def _word(cursor: _Cursor) -> str:
    end = cursor.text.find(" ", cursor.position)
    if end < 0 or end > cursor.line_end(cursor.position):
        cursor.fail("a space and a value must follow the word")
    word = cursor.text[cursor.position : end]
    cursor.position = end + 1
    return word


def _value(cursor: _Cursor) -> str:
    """Up to the first end of a line where the value is complete."""
    start = cursor.position
    end = cursor.line_end(start)
    while (value := _unquoted(cursor.text[start:end].strip())) is None:
        if end == len(cursor.text):
            cursor.fail("a text in quotes does not end at the end of a line")
        end = cursor.line_end(end + 1)
    cursor.position = end
    return value


def _unquoted(text: str) -> str | None:
    for quotes in ('"""', '"'):
        if text.startswith(quotes):
            closed = len(text) >= 2 * len(quotes) and text.endswith(quotes)
            return text[len(quotes) : -len(quotes)] if closed else None
    return text
