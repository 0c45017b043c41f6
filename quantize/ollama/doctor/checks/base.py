"""What a check looks at, and what it may say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from quantize.ollama.modelfile.facts import Facts
from quantize.ollama.modelfile.reading import Modelfile
from quantize.ollama.templates.comparison import TemplateComparison
from quantize.ollama.templates.translate import Translation

Level = Literal["fine", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A GGUF file and the Modelfile that goes with it, if one was given.

    `folder` is the Modelfile's, `translation` that of the file's chat template, if it has one, and
    `comparison` what became of the Modelfile's TEMPLATE compared with that.
    """

    file: Facts
    modelfile: Modelfile | None
    folder: Path
    translation: Translation | None
    comparison: TemplateComparison | None


@dataclass(frozen=True, slots=True)
class Problem:
    """`remedy` is empty where nothing has to be done."""

    level: Level
    message: str
    remedy: str = ""


Check = Callable[[Pair], Iterator[Problem]]


def note(message: str) -> Problem:
    """Nothing is wrong, but something is to be said."""
    return Problem("fine", message)


def error(message: str, remedy: str) -> Problem:
    """Something does not work."""
    return Problem("error", message, remedy)


def warning(message: str, remedy: str) -> Problem:
    """Something works worse than it could."""
    return Problem("warning", message, remedy)
