"""What is changed of the model itself; as llama-quantize has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quantize.options.declare import Group, option

_PANEL = "Changes of the model"


@dataclass(frozen=True, kw_only=True)
class EditOptions(Group):
    """Key-values that are replaced, and blocks that are left out."""

    override_kv: Sequence[str] = option(
        (),
        "--override-kv",
        kind=list[str],
        metavar="KEY=TYPE:VALUE",
        help="Write this key-value in place of the model's own; int, float, bool or str.",
        panel=_PANEL,
    )
    prune_layers: str | None = option(
        None,
        "--prune-layers",
        metavar="L0,L1,...",
        help="Leave these blocks out, and number the others again. The first block is 0.",
        panel=_PANEL,
    )
