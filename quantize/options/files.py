"""Where the files go, and how many they are."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from quantize.options.declare import Group, Size, option, switch

_PANEL = "Several files"


@dataclass(frozen=True, kw_only=True)
class OutputOptions(Group):
    """The folder of the files."""

    output: str | PathLike[str] = option(
        Path(), "--output", "-o", kind=Path, metavar="DIR", help="Where the files go.",
        shows_default=True,
    )  # fmt: skip

    @property
    def folder(self) -> Path:
        return Path(self.output)


@dataclass(frozen=True, kw_only=True)
class SplitOptions(Group):
    """One model in several files."""

    split_max_size: int | str | None = option(
        None,
        "--split-max-size",
        kind=Size,
        metavar="SIZE",
        help="Write NAME-00001-of-00003.gguf and so on, with tensors of at most SIZE each: 4G.",
        panel=_PANEL,
    )
    keep_split: bool = switch(
        "--keep-split",
        help="Of a GGUF model in several files: write as many, with the same tensors in each.",
        panel=_PANEL,
    )
