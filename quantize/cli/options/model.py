"""The model: what of it is written, and as what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_PANEL = "The model"

Types = Annotated[
    list[str],
    typer.Option(
        "--type",
        "-t",
        metavar="TYPE[,OPTION...]",
        help="What to write, see `quantize types`. Several give a file each, from one read. "
        "Options behind commas are for this one, see docs/recipes.md: "
        "Q4_K_M,output-tensor-type=Q8_0,as=Q4_K_L. "
        "auto: Q4_K_M, or what loses nothing of weights that are quantized already. "
        "The default is auto.",
        show_default=False,
    ),
]
PlannedTypes = Annotated[
    list[str],
    typer.Option(
        "--type",
        "-t",
        metavar="TYPE[,OPTION...]",
        help="In detail: tensors, types and why. Without it, all types in a table.",
        show_default=False,
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
OutputFolder = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="DIR", help="Where the files go."),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Write nothing, print what `quantize plan` prints."),
]
KeepGrid = Annotated[
    bool,
    typer.Option(
        "--keep-quantized",
        help="Move quantized weights as they are into a type that holds them exactly.",
        rich_help_panel=_PANEL,
    ),
]
Lora = Annotated[
    list[str],
    typer.Option(
        "--lora",
        metavar="ADAPTER[=SCALE]",
        help="Merge a PEFT adapter first: a folder or a Hub id. Several are merged in turn.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
AdapterOnly = Annotated[
    bool,
    typer.Option(
        "--adapter-only",
        help="SOURCE is a PEFT adapter: write a GGUF adapter, to be loaded beside its base.",
        rich_help_panel=_PANEL,
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="BASE",
        help="With --adapter-only: the base, if it is not where the adapter says.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Its name, in place of the source's own.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Arch = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Treat it as this architecture, see `quantize architectures`.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Pre = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="llama.cpp's name of its pre-tokenizer, if that is not recognized.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
