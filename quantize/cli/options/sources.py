"""Arguments: what a command reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A Hugging Face folder, a Hub id (ORG/NAME or ORG/NAME@REVISION), "
        "or a GGUF file: in F32, F16 or BF16, or quantized with --allow-requantize.",
        show_default=False,
    ),
]
AnySource = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A GGUF file, a Hugging Face folder, or a Hub id (ORG/NAME or ORG/NAME@REVISION).",
        show_default=False,
    ),
]
GGUF = Annotated[
    str,
    typer.Argument(metavar="FILE", help="A GGUF file.", show_default=False),
]
FromSource = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="SOURCE",
        help="What it was made from: a folder, a Hub id or a GGUF file.",
        show_default=False,
    ),
]
Sample = Annotated[
    int | None,
    typer.Option(
        "--sample",
        min=1,
        metavar="N",
        help="Make only N tensors again, always the same ones. All by default.",
        show_default=False,
    ),
]
Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES...",
        help="GGUF files of one folder, or the folder itself.",
        show_default=False,
    ),
]
GGUFPath = Annotated[
    Path, typer.Argument(metavar="FILE.gguf", help="A GGUF file.", show_default=False)
]
ModelfilePath = Annotated[
    Path | None,
    typer.Argument(metavar="[MODELFILE]", help="Its Modelfile.", show_default=False),
]
ModelfilePlace = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", help="A folder with a Modelfile, or a Modelfile.", show_default=False
    ),
]
Repo = Annotated[
    str,
    typer.Argument(metavar="USER/NAME", help="The repository.", show_default=False),
]
ImatrixFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE|make",
        help="An importance matrix: a GGUF or .dat file of llama-imatrix. Or `make`, to make one.",
        show_default=False,
    ),
]
ImatrixModel = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]",
        help="After `make`: a GGUF file, a checkpoint's folder or a repository of the Hub.",
        show_default=False,
    ),
]
