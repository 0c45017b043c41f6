"""Which facts about a place in a conversation decide what stands there: small decision trees.

Probing gives rows: at a place with these features, this came out. The cheapest tree that explains
every row becomes the if and else of the Go template. Whether it is right for conversations that
were not probed is for the proof to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# What is known about a place: "previous" -> "user", "tools" -> "yes", ...
Features = Mapping[str, str]

# A test is a feature and one of its values. What costs more needs more Go to ask.
Test = tuple[str, str]
_COSTS: Mapping[str, float] = {
    "previous": 1.0,
    "system": 1.1,
    "tools": 1.1,
    "think": 1.1,
    "content": 1.2,
    "calls": 1.2,
    "last": 1.3,
    "final user": 1.5,
    "after final user": 1.6,
    "next": 2.5,
}
_MAX_DEPTH = 5


@dataclass(frozen=True, slots=True)
class Leaf:
    text: str


@dataclass(frozen=True, slots=True)
class Branch:
    test: Test
    yes: Tree
    no: Tree


Tree = Leaf | Branch
Row = tuple[Features, str]


def decide(rows: Sequence[Row]) -> Tree | None:
    """The cheapest tree for all rows; None if two rows with the same features disagree."""
    distinct = {(tuple(sorted(features.items())), text) for features, text in rows}
    found = _decide(frozenset(distinct), _MAX_DEPTH, float("inf"))
    return None if found is None else found[1]


def choose(tree: Tree, features: Features) -> str:
    """The text that a tree gives where these features are."""
    while isinstance(tree, Branch):
        name, value = tree.test
        tree = tree.yes if features.get(name) == value else tree.no
    return tree.text


_Rows = frozenset[tuple[tuple[Test, ...], str]]


def _decide(rows: _Rows, depth: int, budget: float) -> tuple[float, Tree] | None:
    texts = {text for _, text in rows}
    if len(texts) == 1:
        return 0.0, Leaf(texts.pop())
    # Each further text needs a branch of its own.
    if depth == 0 or len(texts) - 1 >= budget:
        return None
    best: tuple[float, Tree] | None = None
    for test in _tests(rows):
        cost = _COSTS[test[0]]
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


def _tests(rows: _Rows) -> list[Test]:
    tests = {test for features, _ in rows for test in features}
    # "no" is the other side of "yes": one of the two is enough.
    return sorted((t for t in tests if t[1] != "no"), key=lambda t: (_COSTS[t[0]], t))


def tests_of(tree: Tree) -> set[Test]:
    if isinstance(tree, Leaf):
        return set()
    return {tree.test} | tests_of(tree.yes) | tests_of(tree.no)


def leaves_of(tree: Tree) -> list[str]:
    """The texts of a tree, from its first yes to its last no."""
    if isinstance(tree, Leaf):
        return [tree.text]
    return leaves_of(tree.yes) + leaves_of(tree.no)


def common_suffix(tree: Tree) -> str:
    """What all texts of a tree end with."""
    return common_prefix([text[::-1] for text in leaves_of(tree)])[::-1]


def common_prefix(texts: Sequence[str]) -> str:
    """What all texts begin with."""
    # Whatever the first and the last of the sorted texts share, all share.
    first, last = min(texts), max(texts)
    differs = (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(differs, len(first))]
