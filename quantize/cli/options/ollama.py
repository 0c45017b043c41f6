"""Ollama, and the Modelfile."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantize.cli.options.files import content

if TYPE_CHECKING:
    from quantize.ollama.modelfile.writing import Chosen

_PANEL = "Ollama"


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
        help="Where it goes, `Modelfile` beside FILE.gguf by default; - prints it.",
        show_default=False,
    ),
]
Ollama = Annotated[
    str | None,
    typer.Option(
        "--ollama",
        metavar="NAME",
        help="Make a model in Ollama of it, at the server of OLLAMA_HOST.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
System = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="SYSTEM of the Modelfile: the text that every chat begins with.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
NumCtx = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="num_ctx of the Modelfile: tokens of a conversation that are kept.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Parameter = Annotated[
    list[str],
    typer.Option(
        "--parameter",
        metavar="NAME=VALUE",
        help="A PARAMETER of the Modelfile, in place of the model's own; a stop is added.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
License = Annotated[
    Path | None,
    typer.Option(
        "--license",
        metavar="FILE",
        help="LICENSE of the Modelfile, in place of the model's own.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]


def chosen(
    system: str | None, num_ctx: int | None, parameters: list[str], license_file: Path | None
) -> Chosen:
    """What these options say of the Modelfile. Raises UsageError, DiskError."""
    from quantize.ollama.modelfile.parameters import parse_parameter
    from quantize.ollama.modelfile.writing import Chosen

    wanted = tuple(map(parse_parameter, parameters))
    wanted += () if num_ctx is None else (("num_ctx", str(num_ctx)),)
    text = None if license_file is None else content(license_file)
    return Chosen(system, wanted, text)
