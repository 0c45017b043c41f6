"""The model: what of it is written, and as what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quantize.options.declare import Group, option, switch

_PANEL = "The model"


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Group):
    """What is read of a source, and what is said about it in place of its own files."""

    keep_quantized: bool = switch(
        "--keep-quantized",
        help="Move quantized weights as they are into a type that holds them exactly.",
        panel=_PANEL,
    )
    lora: Sequence[str] = option(
        (),
        "--lora",
        kind=list[str],
        metavar="ADAPTER[=SCALE]",
        help="Merge a PEFT adapter first: a folder or a Hub id. Several are merged in turn.",
        panel=_PANEL,
    )
    adapter_only: bool = switch(
        "--adapter-only",
        help="SOURCE is a PEFT adapter: write a GGUF adapter, to be loaded with its base.",
        panel=_PANEL,
    )
    base: str | None = option(
        None,
        "--base",
        metavar="BASE",
        help="With --adapter-only: the base, if it is not where the adapter says.",
        panel=_PANEL,
    )
    name: str | None = option(
        None,
        "--name",
        metavar="NAME",
        help="Its name, in place of the source's own.",
        panel=_PANEL,
    )
    model_class: str | None = option(
        None,
        "--arch",
        metavar="NAME",
        help="Treat it as this class of config.json, see `quantize architectures`.",
        panel=_PANEL,
    )
    pre: str | None = option(
        None,
        "--pre",
        metavar="NAME",
        help="llama.cpp's name of its pre-tokenizer, if that is not recognized.",
        panel=_PANEL,
    )
    pooling: str | None = option(
        None,
        "--pooling",
        metavar="KIND",
        help="How an embedding model makes one vector of its tokens': mean, cls, last, rank or "
        "none; in place of what its files say.",
        panel=_PANEL,
    )
    strict_parity: bool = switch(
        "--strict-parity",
        help="Write what llama.cpp's converter writes where that is known to be wrong, too "
        "(docs/deviations.md).",
        panel=_PANEL,
    )
