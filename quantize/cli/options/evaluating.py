"""What `perplexity` reads, and how much of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_PANEL = "The run"

Text = Annotated[
    Path,
    typer.Option(
        "--text",
        metavar="FILE",
        help="A text in UTF-8 that the model was not trained on.",
        show_default=False,
    ),
]
BaseFile = Annotated[
    Path | None,
    typer.Option(
        "--base",
        metavar="FILE",
        help="The same model in F16, BF16 or F32: also measure how far the file is from it.",
        show_default=False,
    ),
]
ChunkContext = Annotated[
    int,
    typer.Option(
        "--context",
        min=4,
        metavar="TOKENS",
        help="Length of a chunk. Only values of the same length can be compared. 512 by default.",
        show_default=False,
    ),
]
Chunks = Annotated[
    int | None,
    typer.Option(
        "--chunks",
        min=1,
        metavar="N",
        help="Use only the first N chunks of the text. All by default.",
        show_default=False,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        metavar="N",
        help="Threads of llama.cpp. One for each core by default.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Texts = Annotated[
    list[Path],
    typer.Option(
        "--text",
        metavar="FILE",
        help="With `make`: a text in UTF-8 to calibrate with, `default` for the one that comes "
        "along. May be given several times.",
        show_default=False,
    ),
]
ImatrixOutput = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="With `make`: where it goes, imatrix.gguf by default.",
        show_default=False,
    ),
]
CalibrationContext = Annotated[
    int,
    typer.Option(
        "--context",
        min=1,
        metavar="TOKENS",
        help="With `make`: length of a chunk. 512 by default.",
        show_default=False,
    ),
]
