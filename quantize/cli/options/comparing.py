"""What is compared, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Reference = Annotated[
    str,
    typer.Argument(
        metavar="REFERENCE",
        help="What is right: a GGUF file, a Hugging Face folder, or a Hub id.",
        show_default=False,
    ),
]
Other = Annotated[
    str,
    typer.Argument(
        metavar="OTHER", help="What is measured against it, likewise.", show_default=False
    ),
]
MeasuredSample = Annotated[
    int | None,
    typer.Option(
        "--sample",
        min=1,
        metavar="N",
        help="Measure only N tensors, always the same ones. All by default.",
        show_default=False,
    ),
]
FailAbove = Annotated[
    float | None,
    typer.Option(
        "--fail-above",
        min=0,
        metavar="PERCENT",
        help="End in exit code 8 if the relative error of a tensor is larger, or a tensor cannot "
        "be compared.",
        show_default=False,
    ),
]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="FILE",
        help="Write a page with a picture of the error, by layer and kind of tensor.",
        show_default=False,
        rich_help_panel="What is printed",
    ),
]
