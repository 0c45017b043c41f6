"""Importance matrices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ImatrixFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="An importance matrix: a GGUF or .dat file of llama-imatrix.",
        show_default=False,
    ),
]
Imatrix = Annotated[
    Path | None,
    typer.Option(
        "--imatrix",
        metavar="FILE",
        help="An importance matrix (GGUF or .dat): bits go to the columns that matter most.",
        show_default=False,
        rich_help_panel="The model",
    ),
]
FromImatrix = Annotated[
    Path | None,
    typer.Option(
        "--imatrix",
        metavar="FILE",
        help="With --source: the importance matrix that it was made with.",
        show_default=False,
    ),
]
