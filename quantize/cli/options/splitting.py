"""Output in several files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from quantize.planning.parts import Split

_PANEL = "Several files"

SplitMaxSize = Annotated[
    str | None,
    typer.Option(
        "--split-max-size",
        metavar="SIZE",
        help="Write NAME-00001-of-00003.gguf and so on, with tensors of at most SIZE each: 4G.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
KeepSplit = Annotated[
    bool,
    typer.Option(
        "--keep-split",
        help="Of a GGUF model in several files: write as many, with the same tensors in each.",
        rich_help_panel=_PANEL,
    ),
]


def split(max_size: str | None, *, keep: bool) -> Split:
    """What these options say. Raises UsageError."""
    from quantize.planning import parts

    return parts.split(max_size, keep=keep)
