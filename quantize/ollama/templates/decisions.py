"""Which facts about a place in a conversation decide what is there: small decision trees.

Probing gives rows: at a place with these features, this came out: a text, whether something is
shown, how a text is trimmed. The cheapest tree that explains every row becomes the if and else of
the Go template. Whether it is right for conversations that were not probed is for the proof to say.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Generic, TypeAlias, TypeVar

from quantize.ollama.templates.features import FEATURES, Features, Test

T = TypeVar("T", bound=Hashable)
_MAX_DEPTH = 5
# Characters that a text must have to be written apart from what differs.
_WORTH_SHARING = 12


@dataclass(frozen=True)
class Leaf(Generic[T]):
    value: T


@dataclass(frozen=True)
class Branch(Generic[T]):
    test: Test
    yes: Tree[T]
    no: Tree[T]


Tree: TypeAlias = "Leaf[T] | Branch[T]"
Row: TypeAlias = tuple[Features, T]


def decide(rows: Sequence[Row[T]]) -> Tree[T] | None:
    """The cheapest tree for all rows; None if two rows with the same features disagree."""
    distinct = {
        (tuple(Test(*item) for item in sorted(features.items())), value) for features, value in rows
    }
    found = _decided(frozenset(distinct))
    return None if found is None else found[1]


# A grammar is made again whenever one of its trees has learned something.
@lru_cache(maxsize=256)
def _decided(rows: _Rows[Hashable]) -> tuple[float, Tree[Any]] | None:
    return _decide(rows, _MAX_DEPTH, float("inf"))


def choose(tree: Tree[T], features: Features) -> T:
    """What a tree gives where these features are."""
    while isinstance(tree, Branch):
        feature, value = tree.test
        tree = tree.yes if features.get(feature) == value else tree.no
    return tree.value


_Rows: TypeAlias = frozenset[tuple[tuple[Test, ...], T]]


def _decide(rows: _Rows[T], depth: int, budget: float) -> tuple[float, Tree[T]] | None:
    values = {value for _, value in rows}
    if len(values) == 1:
        return 0.0, Leaf(values.pop())
    # Each further value needs a branch of its own.
    if depth == 0 or len(values) - 1 >= budget:
        return None
    best: tuple[float, Tree[T]] | None = None
    for test in _tests(rows):
        cost = FEATURES[test.feature].cost
        yes = frozenset(row for row in rows if test in row[0])
        if cost >= budget or not 0 < len(yes) < len(rows):
            continue
        left = _decide(yes, depth - 1, budget - cost)
        if left is None:
            continue
        right = _decide(rows - yes, depth - 1, budget - cost - left[0])
        if right is not None and cost + left[0] + right[0] < budget:
            budget = cost + left[0] + right[0]
            best = budget, Branch(test, left[1], right[1])
    return best


def _tests(rows: _Rows[T]) -> list[Test]:
    tests = {test for features, _ in rows for test in features}
    # "no" is the other side of "yes": one of the two is enough.
    asked = (test for test in tests if test.value != "no")
    return sorted(asked, key=lambda test: (FEATURES[test.feature].cost, test))


def tests_of(tree: Tree[T]) -> set[Test]:
    if isinstance(tree, Leaf):
        return set()
    return {tree.test} | tests_of(tree.yes) | tests_of(tree.no)


def leaves_of(tree: Tree[T]) -> list[T]:
    """The values of a tree, from its first yes to its last no."""
    if isinstance(tree, Leaf):
        return [tree.value]
    return leaves_of(tree.yes) + leaves_of(tree.no)


def common_suffix(tree: Tree[str]) -> str:
    """What all texts of a tree end with."""
    return common_prefix([text[::-1] for text in leaves_of(tree)])[::-1]


def common_prefix(texts: Sequence[str]) -> str:
    """What all texts begin with."""
    # Whatever the first and the last of the sorted texts share, all share.
    first, last = min(texts), max(texts)
    differs = (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(differs, len(first))]


def mapped(tree: Tree[str], change: Callable[[str], str]) -> Tree[str]:
    if isinstance(tree, Leaf):
        return Leaf(change(tree.value))
    return replace(tree, yes=mapped(tree.yes, change), no=mapped(tree.no, change))


def shared_text(tree: Tree[str]) -> tuple[str, str]:
    """What all leaves begin or end with, if that is long or leaves one of them empty."""
    leaves = leaves_of(tree)
    suffix = common_suffix(tree)
    if suffix in leaves or len(suffix) >= _WORTH_SHARING:
        return "", suffix
    prefix = common_prefix(leaves)
    return (prefix, "") if prefix in leaves or len(prefix) >= _WORTH_SHARING else ("", "")
