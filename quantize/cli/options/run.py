"""The run: workers, memory, kernels."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

_PANEL = "The run"


class KernelSet(StrEnum):
    AUTO = "auto"
    NUMPY = "numpy"
    NUMBA = "numba"


Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        metavar="N",
        help="Workers. Each core gets one by default.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="What all workers together may take: 600MB, 4G, 2.5GiB.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Kernels = Annotated[
    KernelSet,
    typer.Option(
        metavar="|".join(KernelSet),
        help="Which implementation computes. The bytes are the same.",
        rich_help_panel=_PANEL,
    ),
]
Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh",
        help="Do not continue what an interrupted run left behind.",
        rich_help_panel=_PANEL,
    ),
]
