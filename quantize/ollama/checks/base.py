"""What a check looks at, and what it may say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from quantize.ollama.facts import Facts
from quantize.ollama.reading import Modelfile
from quantize.ollama.translate import Translation

Level = Literal["fine", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A GGUF file and the Modelfile that goes with it, if one was given.

    `folder` is the Modelfile's, `translation` that of the file's chat template, if it has one.
    """

    file: Facts
    modelfile: Modelfile | None
    folder: Path
    translation: Translation | None


@dataclass(frozen=True, slots=True)
class Problem:
    level: Literal["warning", "error"]
    message: str
    remedy: str


Check = Callable[[Pair], Iterator[Problem]]


def error(message: str, remedy: str) -> Problem:
    """Something does not work."""
    return Problem("error", message, remedy)


def warning(message: str, remedy: str) -> Problem:
    """Something works worse than it could."""
    return Problem("warning", message, remedy)
