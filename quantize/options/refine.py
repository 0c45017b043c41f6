"""Codes that are chosen for what is read, in place of those that llama-quantize chooses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from quantize.options.declare import Group, option

_PANEL = "The model"


class Refine(StrEnum):
    EMBEDDING = "embedding"
    FULL = "full"


@dataclass(frozen=True, kw_only=True)
class RefineOptions(Group):
    """Off by default: the files have the same types and sizes, but not llama-quantize's bytes."""

    refine: str | None = option(
        None,
        "--refine",
        kind=Refine,
        help="Lose less in the same bytes: `embedding` codes the token embedding for the matrices "
        "that read it, `full` all matrices for what --calibrate puts into them. The bytes are not "
        "llama-quantize's.",
        panel=_PANEL,
    )
    calibrate: str | None = option(
        None,
        "--calibrate",
        metavar="FILE|default",
        help="Make an importance matrix with this text first, through llama.cpp, and use it. It is "
        "left beside the files.",
        panel=_PANEL,
    )
    sweeps: int = option(
        4,
        "--sweeps",
        kind=int,
        limits=(0, 20),
        metavar="N",
        help="With --refine: how often codes and scales are improved one by one.",
        panel=_PANEL,
        shows_default=True,
    )
