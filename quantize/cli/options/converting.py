"""What only `convert` or `plan` takes."""

from __future__ import annotations

from typing import Annotated

import typer

DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Write nothing, print what `quantize plan` prints."),
]
Push = Annotated[
    str | None,
    typer.Option(
        "--push",
        metavar="USER/NAME",
        help="Publish the files in this repository when they are done, see `quantize push`.",
        show_default=False,
        rich_help_panel="The Hub",
    ),
]
Ollama = Annotated[
    str | None,
    typer.Option(
        "--ollama",
        metavar="NAME",
        help="Make a model in Ollama of it, at the server of OLLAMA_HOST.",
        show_default=False,
        rich_help_panel="Ollama",
    ),
]
Fits = Annotated[
    str | None,
    typer.Option(
        "--fits",
        metavar="SIZE",
        help="Name the best type that fits into so much memory, with its context.",
        show_default=False,
    ),
]
Context = Annotated[
    int | None,
    typer.Option(
        "--context",
        min=1,
        metavar="TOKENS",
        help="The context that memory is needed for. 4096 by default, or the model's own if less.",
        show_default=False,
    ),
]
