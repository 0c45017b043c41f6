"""What is printed."""

from __future__ import annotations

from typing import Annotated

import typer

_PANEL = "What is printed"

All = Annotated[
    bool,
    typer.Option("--all", help="A line for every tensor.", rich_help_panel=_PANEL),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Nothing but errors.", rich_help_panel=_PANEL),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="One JSON object a line, see docs/cli.md.", rich_help_panel=_PANEL),
]
