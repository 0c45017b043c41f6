"""The types of tensors, over what the file type says; as llama-quantize has them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_PANEL = "Types of tensors"

Recipes = Annotated[
    list[Path],
    typer.Option(
        "--recipe",
        metavar="FILE",
        help="A mix of your own, see docs/recipes.md. Several give a file each, as --type does.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
TargetSize = Annotated[
    str | None,
    typer.Option(
        "--target-size",
        metavar="SIZE",
        help="The types with the least error in a file of this size, measured: 4.5GB.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Bits = Annotated[
    float | None,
    typer.Option(
        "--bits",
        metavar="N",
        min=0.1,
        max=32,
        help="The same with this many bits for each weight, on average: 4.6.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
TensorTypes = Annotated[
    list[str],
    typer.Option(
        "--tensor-type",
        metavar="REGEX=TYPE",
        help="Tensors in whose name REGEX is found get TYPE: attn_v=Q8_0. The first match counts.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
TensorTypeFiles = Annotated[
    list[Path],
    typer.Option(
        "--tensor-type-file",
        metavar="FILE",
        help="More of them, with spaces or line ends between; they come after --tensor-type.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
OutputTensorType = Annotated[
    str | None,
    typer.Option(
        "--output-tensor-type",
        metavar="TYPE",
        help="The type of output.weight, or of the embedding where that is the output too.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
TokenEmbeddingType = Annotated[
    str | None,
    typer.Option(
        "--token-embedding-type",
        metavar="TYPE",
        help="The type of the token embeddings.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
LeaveOutputTensor = Annotated[
    bool,
    typer.Option(
        "--leave-output-tensor",
        help="Leave output.weight as it is in a GGUF file; F32 from a checkpoint.",
        rich_help_panel=_PANEL,
    ),
]
Pure = Annotated[
    bool,
    typer.Option(
        "--pure",
        help="No mix: all matrices get the type that the file type is named after.",
        rich_help_panel=_PANEL,
    ),
]
AllowRequantize = Annotated[
    bool,
    typer.Option(
        "--allow-requantize",
        help="Quantize anew what is quantized already in a GGUF file or an MXFP4 checkpoint.",
        rich_help_panel=_PANEL,
    ),
]
