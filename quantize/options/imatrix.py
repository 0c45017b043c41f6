"""The importance matrix that a conversion uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from quantize.options.declare import Group, option

_CHANGES = "Changes of the model"


@dataclass(frozen=True, kw_only=True)
class ImatrixOptions(Group):
    """An importance matrix, and which of its entries are used.

    `imatrix_name` is what the key-values call the file, its path by default, as llama-quantize
    does.
    """

    imatrix: str | PathLike[str] | None = option(
        None,
        "--imatrix",
        kind=Path,
        metavar="FILE",
        help="An importance matrix (GGUF or .dat): bits go to the columns that matter most.",
        panel="The model",
    )
    exclude_weights: Sequence[str] = option(
        (),
        "--exclude-weights",
        kind=list[str],
        metavar="NAME",
        help="Use no entry of --imatrix with NAME in the tensor's name.",
        panel=_CHANGES,
    )
    include_weights: Sequence[str] = option(
        (),
        "--include-weights",
        kind=list[str],
        metavar="NAME",
        help="Use only entries of --imatrix with NAME in the tensor's name.",
        panel=_CHANGES,
    )
    imatrix_name: str | None = None
