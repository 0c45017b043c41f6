"""Extension points: one literal table `key -> "module:ATTR"` each, loaded on first use.

A table costs nothing to import, so `--help` stays fast however many families there are, and a
test can check it both ways: every row loads, and every module of the folder has its row.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar, cast

T = TypeVar("T")


class Registry(Generic[T]):
    """A lazy, read-only table of one kind of extension.

    `kind` names what is registered ("ggml type"); `table` maps each key to "module:ATTR", where
    the module is one of the package `room`.
    """

    def __init__(self, kind: str, room: str, table: Mapping[str, str]) -> None:
        self.kind = kind
        self.table = {key: f"{room}.{row}" for key, row in table.items()}

    def __contains__(self, key: object) -> bool:
        return key in self.table

    def __iter__(self) -> Iterator[str]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, key: str) -> T:
        """The extension named `key`. Raises KeyError if it is not in the table."""
        module, _, attribute = self.table[key].partition(":")
        return cast(T, getattr(importlib.import_module(module), attribute))

    def nearest(self, key: str, limit: int = 3) -> list[str]:
        """Registered keys that look like `key`, the most alike first."""
        return nearest(key, self.table, limit)


def nearest(key: str, names: Iterable[str], limit: int = 3) -> list[str]:
    """The names that look like `key` in any case, the most alike first."""
    folded = {name.casefold(): name for name in names}
    found = difflib.get_close_matches(key.casefold(), folded, n=limit, cutoff=0.4)
    return [folded[name] for name in found]


def names_like(key: str, names: Iterable[str], limit: int = 3) -> str | None:
    """The same as the reason of an error; None where nothing is like it."""
    near = nearest(key, names, limit)
    return f"names like it: {', '.join(near)}" if near else None
