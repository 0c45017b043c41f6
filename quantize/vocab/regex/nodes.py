"""The parts of a regular expression."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class UnsupportedSyntaxError(ValueError):
    """The pattern uses something the normal form does not know."""


@dataclass(frozen=True, slots=True)
class Set:
    """One character: code point ranges, class escapes such as `p{L}` or `s`, all perhaps negated.

    `both`: further sets that it is intersected with (`&&`).
    """

    ranges: tuple[tuple[int, int], ...] = ()
    classes: frozenset[str] = frozenset()
    negated: bool = False
    both: tuple[Set, ...] = ()


@dataclass(frozen=True, slots=True)
class Words:
    """Any of several fixed texts, none of which begins another, so their order says nothing."""

    texts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Alt:
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Cat:
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    node: Node
    low: int
    high: int | None
    mode: str  # "" greedy, "+" possessive, "?" lazy


@dataclass(frozen=True, slots=True)
class Look:
    kind: str
    node: Node


@dataclass(frozen=True, slots=True)
class Anchor:
    text: str


Node = Set | Words | Alt | Cat | Repeat | Look | Anchor


def one_character(character: str) -> Set:
    return Set(((ord(character), ord(character)),))


def joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Sorted, with touching ranges joined."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return tuple(found)
