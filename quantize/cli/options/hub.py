"""The Hub."""

from __future__ import annotations

from typing import Annotated

import typer

_PANEL = "The Hub"

Repo = Annotated[
    str,
    typer.Argument(metavar="USER/NAME", help="The repository.", show_default=False),
]
Push = Annotated[
    str | None,
    typer.Option(
        "--push",
        metavar="USER/NAME",
        help="Publish the files in this repository when they are done, see `quantize push`.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Private = Annotated[
    bool,
    typer.Option(
        "--private",
        help="If the repository is made now, hide it from others.",
        rich_help_panel=_PANEL,
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Replace other files of the same name in the repository.",
        rich_help_panel=_PANEL,
    ),
]
Stream = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Read weights over HTTP as they are needed, and keep none of them on the disk.",
        rich_help_panel=_PANEL,
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        help="A token, in place of HF_TOKEN and of the one that `hf auth login` left.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
