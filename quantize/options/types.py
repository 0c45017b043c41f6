"""Which types the tensors get: file types, recipes, budgets, and what steers single tensors.

The options that steer are llama-quantize's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from quantize.options.declare import Group, option, switch

_PANEL = "Types of tensors"


@dataclass(frozen=True, kw_only=True)
class TypeOptions(Group):
    """The files to write, by their types. No type at all: the source decides."""

    types: Sequence[str] = option(
        (),
        "--type",
        "-t",
        kind=list[str],
        metavar="TYPE[,OPTION...]",
        help="What to write, see `quantize types`. Several give a file each, from one read. "
        "Options behind commas are for this one, see docs/recipes.md: "
        "Q4_K_M,output-tensor-type=Q8_0,as=Q4_K_L. "
        "auto: Q4_K_M, or what loses nothing of weights that are quantized already. "
        "The default is auto.",
    )


@dataclass(frozen=True, kw_only=True)
class SteeringOptions(Group):
    """What is said about the types of single tensors, and sizes in place of types."""

    recipe: Sequence[str | PathLike[str]] = option(
        (),
        "--recipe",
        kind=list[Path],
        metavar="FILE",
        help="A mix of your own, see docs/recipes.md. Several give a file each, as --type does.",
        panel=_PANEL,
    )
    target_size: str | None = option(
        None,
        "--target-size",
        metavar="SIZE",
        help="The types with the least error in a file of this size, measured: 4.5GB.",
        panel=_PANEL,
    )
    bits: float | None = option(
        None,
        "--bits",
        kind=float,
        metavar="N",
        limits=(0.1, 32),
        help="The same with this many bits for each weight, on average: 4.6.",
        panel=_PANEL,
    )
    tensor_type: Sequence[str] = option(
        (),
        "--tensor-type",
        kind=list[str],
        metavar="REGEX=TYPE",
        help="Tensors in whose name REGEX is found get TYPE: attn_v=Q8_0. The first match counts.",
        panel=_PANEL,
    )
    tensor_type_file: Sequence[str | PathLike[str]] = option(
        (),
        "--tensor-type-file",
        kind=list[Path],
        metavar="FILE",
        help="More of them, with spaces or line ends between; they come after --tensor-type.",
        panel=_PANEL,
    )
    output_tensor_type: str | None = option(
        None,
        "--output-tensor-type",
        metavar="TYPE",
        help="The type of output.weight, or of the token embedding, if the model ties it to the "
        "output.",
        panel=_PANEL,
    )
    token_embedding_type: str | None = option(
        None,
        "--token-embedding-type",
        metavar="TYPE",
        help="The type of the token embeddings.",
        panel=_PANEL,
    )
    leave_output_tensor: bool = switch(
        "--leave-output-tensor",
        help="Leave output.weight as it is in a GGUF file; F32 from a checkpoint.",
        panel=_PANEL,
    )
    pure: bool = switch(
        "--pure",
        help="No mix: all matrices get the type that the file type is named after.",
        panel=_PANEL,
    )
    allow_requantize: bool = switch(
        "--allow-requantize",
        help="Quantize again what is quantized already in a GGUF file or an MXFP4 checkpoint.",
        panel=_PANEL,
    )
