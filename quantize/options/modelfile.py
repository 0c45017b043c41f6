"""What a person wants in the Modelfile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from quantize.options.declare import Group, option, switch

_PANEL = "Ollama"


@dataclass(frozen=True, kw_only=True)
class ModelfileOptions(Group):
    """What replaces or completes the model's own values."""

    system: str | None = option(
        None,
        "--system",
        metavar="TEXT",
        help="SYSTEM of the Modelfile: the text that every chat begins with.",
        panel=_PANEL,
    )
    num_ctx: int | None = option(
        None,
        "--num-ctx",
        kind=int,
        limits=(1, None),
        metavar="N",
        help="num_ctx of the Modelfile: tokens of a conversation that are kept.",
        panel=_PANEL,
    )
    parameter: Sequence[str] = option(
        (),
        "--parameter",
        kind=list[str],
        metavar="NAME=VALUE",
        help="A PARAMETER of the Modelfile, in place of the model's own; a stop is added.",
        panel=_PANEL,
    )
    exact_template: bool = switch(
        "--exact-template",
        help="A TEMPLATE trims every kind of white space that the chat template trims.",
        panel=_PANEL,
    )
    license: str | PathLike[str] | None = option(
        None,
        "--license",
        kind=Path,
        metavar="FILE",
        help="LICENSE of the Modelfile, in place of the model's own.",
        panel=_PANEL,
    )
