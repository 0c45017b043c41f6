"""A reader of Modelfiles, written from the grammar of Ollama's, to test our writer with.

One command is WORD SPACE VALUE. Values have no escapes; characters that are not printable vanish.
"""

from __future__ import annotations

from typing import NamedTuple

_WORDS = {
    "from", "parameter", "template", "system", "license", "message", "adapter", "draft",
    "renderer", "parser", "requires",
}  # fmt: skip
_FLOATS = {"temperature", "top_p", "min_p", "typical_p", "repeat_penalty"}
_INTS = {"top_k", "num_ctx"}


class ModelfileError(Exception):
    """What Ollama would refuse."""


class Line(NamedTuple):
    """`name` is that of a parameter or the role of a message, else empty."""

    word: str
    name: str
    value: str


def read_modelfile(data: bytes) -> list[Line]:
    text = "".join(
        c for c in data.decode("utf-8-sig", "replace") if c in "\t\r\n" or c.isprintable()
    )
    lines = []
    while text := text.lstrip(" \t\r\n"):
        if text.startswith("#"):
            end = min((i for i, c in enumerate(text) if c in "\r\n"), default=len(text))
            text = text[end:]
            continue
        word, text = _word(text)
        if word.lower() not in _WORDS:
            raise ModelfileError(f"command must be one of: {word!r}")
        name = ""
        if word.lower() in ("parameter", "message"):
            name, text = _word(text)
        value, text = _value(text)
        lines.append(Line(word.lower(), name, value))
        if word.lower() == "parameter":
            _check_parameter(name, value)
    if not any(line.word == "from" for line in lines):
        raise ModelfileError("no FROM line")
    return lines


def _word(text: str) -> tuple[str, str]:
    word, space, rest = text.partition(" ")
    if not space or "\n" in word or "\r" in word:
        raise ModelfileError("unexpected EOF")
    return word, rest


def _value(text: str) -> tuple[str, str]:
    """The value ends at the first line end, or the end of all, where it is complete."""
    for position in range(len(text) + 1):
        if position == len(text) or text[position] in "\r\n":
            complete = _unquoted(text[:position].strip())
            if complete is not None:
                return complete, text[position:]
    raise ModelfileError("unexpected EOF")


def _unquoted(text: str) -> str | None:
    for marks in ('"""', '"'):
        if text.startswith(marks):
            closed = len(text) >= 2 * len(marks) and text.endswith(marks)
            return text[len(marks) : -len(marks)] if closed else None
    return text


def _check_parameter(name: str, value: str) -> None:
    if name in _FLOATS:
        float(value)
    elif name in _INTS:
        int(value)
    elif name != "stop":
        raise ModelfileError(f"unknown parameter {name!r}")
