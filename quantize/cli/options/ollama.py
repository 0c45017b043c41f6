"""Ollama, and the Modelfile."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Action(StrEnum):
    CREATE = "create"


OllamaAction = Annotated[
    Action, typer.Argument(metavar="create", help="What to do.", show_default=False)
]
OllamaModel = Annotated[
    str, typer.Argument(metavar="NAME", help="The model's name in Ollama.", show_default=False)
]
ModelfileOutput = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="Where it goes, `Modelfile` next to FILE.gguf by default; - prints it.",
        show_default=False,
    ),
]
