"""What is changed of the model itself; as llama-quantize has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from quantize.planning.edits import Edits

_PANEL = "Changes of the model"

OverrideKv = Annotated[
    list[str],
    typer.Option(
        "--override-kv",
        metavar="KEY=TYPE:VALUE",
        help="Write this key-value in place of the model's own; int, float, bool or str.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
PruneLayers = Annotated[
    str | None,
    typer.Option(
        "--prune-layers",
        metavar="L0,L1,...",
        help="Leave these blocks out, and number the others anew. The first block is 0.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
ExcludeWeights = Annotated[
    list[str],
    typer.Option(
        "--exclude-weights",
        metavar="NAME",
        help="Use no entry of --imatrix with NAME in the tensor's name.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
IncludeWeights = Annotated[
    list[str],
    typer.Option(
        "--include-weights",
        metavar="NAME",
        help="Use only entries of --imatrix with NAME in the tensor's name.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]


def edited(
    override_kv: list[str],
    prune_layers: str | None,
    exclude_weights: list[str],
    include_weights: list[str],
) -> Edits:
    """What these options say. Raises UsageError."""
    from quantize.planning.edits import edits

    return edits(override_kv, prune_layers, exclude_weights, include_weights)
