"""Regular expressions that a checkpoint brings, in bounded time.

Python's `re` tries one way after another: `(a+)+b` takes minutes for a name of thirty letters.
Here all ways are followed at once, as a set of places in the name (Thompson, Regular Expression
Search Algorithm, 1968), and what takes too many steps all the same is refused.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache

from quantize.errors import CheckpointError

_LONGEST = 1000  # characters of a pattern
_DEEPEST = 20  # groups inside each other
_MAX_STEPS = 1 << 20

_CHAR = re.compile(
    r"\[\^?\]?(?:\\.|[^\]\\])*\]|\\[dDsSwW]|\\[^0-9A-Za-z]|[^\\()\[|*+?^$]", re.DOTALL
)
_COUNT = re.compile(r"([*+?]|\{(?:\d+(?:,\d*)?|,\d*)\})(\??)")
_GROUP = re.compile(r"\((?:\?(:|=|!))?(?!\?)")
_COUNTED = re.compile(r"[*+?{]")
_COUNTED_GROUP = re.compile(r"\)[*+{]")


def matches(pattern: str, name: str) -> bool:
    """Whether `pattern` fits the beginning of `name`, as re.match says. Raises CheckpointError."""
    root = _parsed(pattern)
    if _is_quick(pattern) and len(name) <= _LONGEST:
        return re.match(pattern, name) is not None
    return bool(root.ends(frozenset({0}), _Walk(pattern, name)))


def _is_quick(pattern: str) -> bool:
    """Whether `re` takes no longer than the square of the name's length."""
    return len(_COUNTED.findall(pattern)) <= 2 and not _COUNTED_GROUP.search(pattern)


class _Walk:
    """A name, and how many steps may still be taken in it."""

    def __init__(self, pattern: str, name: str) -> None:
        self.pattern = pattern
        self.name = name
        self._left = _MAX_STEPS

    def step(self, places: int) -> None:
        self._left -= places + 1
        if self._left < 0:
            raise _refused(self.pattern, "it takes too long to match a name")


class _Node(ABC):
    @abstractmethod
    def ends(self, starts: frozenset[int], walk: _Walk) -> frozenset[int]:
        """All places where a match can end that begins at one of `starts`."""


@dataclass(frozen=True, slots=True)
class _Char(_Node):
    allowed: re.Pattern[str]

    def ends(self, starts: frozenset[int], walk: _Walk) -> frozenset[int]:
        walk.step(len(starts))
        # A pattern of one character: there is nothing to go back to.
        return frozenset(at + 1 for at in starts if self.allowed.match(walk.name, at))


@dataclass(frozen=True, slots=True)
class _Begin(_Node):
    def ends(self, starts: frozenset[int], walk: _Walk) -> frozenset[int]:
        walk.step(len(starts))
        return starts & {0}


@dataclass(frozen=True, slots=True)
class _End(_Node):
    def ends(self, starts: frozenset[int], walk: _Walk) -> frozenset[int]:
        walk.step(len(starts))
        size = len(walk.name)
        return starts & ({size, size - 1} if walk.name.endswith("\n") else {size})


@dataclass(frozen=True, slots=True)
class _Sequence(_Node):
    parts: tuple[_Node, ...]

    def ends(self, starts: frozenset[int], walk: _Walk) -> frozenset[int]:
        for part in self.parts:
            if starts:
                starts = part.ends(starts, walk)
        return starts


@dataclass(frozen=True, slots=True)
class _Either(_Node):
    choices: tuple[_Node, ...]

    def ends(self, starts: frozenset[int], walk: _Walk) -> frozenset[int]:
        return frozenset().union(*(choice.ends(starts, walk) for choice in self.choices))


@dataclass(frozen=True, slots=True)
class _Ahead(_Node):
    inner: _Node
    is_there: bool

    def ends(self, starts: frozenset[int], walk: _Walk) -> frozenset[int]:
        return frozenset(
            at for at in starts if bool(self.inner.ends(frozenset({at}), walk)) == self.is_there
        )


@dataclass(frozen=True, slots=True)
class _Repeat(_Node):
    inner: _Node
    least: int
    most: int | None

    def ends(self, starts: frozenset[int], walk: _Walk) -> frozenset[int]:
        done = 0
        while done < self.least and starts:
            walk.step(0)
            following = self.inner.ends(starts, walk)
            # Nothing moves any more, however often it is repeated.
            done = self.least if following == starts else done + 1
            starts = following
        found, new = set(starts), starts
        while new and (self.most is None or done < self.most):
            new = self.inner.ends(new, walk) - found
            found |= new  # in place: a copy for each round would be a square that no step counts
            done += 1
        return frozenset(found)


@lru_cache(maxsize=1024)
def _parsed(pattern: str) -> _Node:
    if len(pattern) > _LONGEST:
        raise _refused(pattern, f"it has {len(pattern)} characters")
    node, at = _either(pattern, 0, 0)
    if at < len(pattern):
        raise _refused(pattern, f"what {pattern[at]!r} at character {at} means is not clear")
    return node


def _either(pattern: str, at: int, depth: int) -> tuple[_Node, int]:
    choices = []
    while True:
        node, at = _sequence(pattern, at, depth)
        choices.append(node)
        if not pattern.startswith("|", at):
            return _Either(tuple(choices)), at
        at += 1


def _sequence(pattern: str, at: int, depth: int) -> tuple[_Node, int]:
    parts: list[_Node] = []
    while at < len(pattern) and pattern[at] not in "|)":
        node, at = _atom(pattern, at, depth)
        if found := _COUNT.match(pattern, at):
            if isinstance(node, _Begin | _End | _Ahead):
                raise _refused(pattern, "it repeats a place")
            node, at = _repeated(pattern, node, found[1]), found.end()
        parts.append(node)
    return _Sequence(tuple(parts)), at


def _atom(pattern: str, at: int, depth: int) -> tuple[_Node, int]:
    if pattern[at] in "^$":
        return (_Begin() if pattern[at] == "^" else _End()), at + 1
    if found := _GROUP.match(pattern, at):
        if depth == _DEEPEST:
            raise _refused(pattern, f"more than {_DEEPEST} groups are inside each other")
        node, end = _either(pattern, found.end(), depth + 1)
        if not pattern.startswith(")", end):
            raise _refused(pattern, "a group is not closed")
        ahead = found[1] in {"=", "!"}
        return (_Ahead(node, found[1] == "=") if ahead else node), end + 1
    found = _CHAR.match(pattern, at)
    # A count where nothing is to be counted: `{2}` first, or after another count.
    if found is None or _COUNT.match(pattern, at):
        raise _refused(pattern, f"what {pattern[at]!r} at character {at} means is not clear")
    return _char(pattern, found[0]), found.end()


def _char(pattern: str, text: str) -> _Node:
    try:
        return _Char(_compiled(text))
    except re.error as error:
        raise _refused(pattern, str(error)) from None


@lru_cache(maxsize=1024)
def _compiled(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _repeated(pattern: str, node: _Node, count: str) -> _Repeat:
    fixed = {"*": (0, None), "+": (1, None), "?": (0, 1)}
    if count in fixed:
        return _Repeat(node, *fixed[count])
    least, comma, most = count[1:-1].partition(",")
    low = int(least or 0)
    high = (int(most) if most else None) if comma else low
    if high is not None and high < low:
        raise _refused(pattern, f"{count} counts backwards")
    return _Repeat(node, low, high)


def _refused(pattern: str, reason: str) -> CheckpointError:
    return CheckpointError(
        "odd-pattern",
        "a pattern of module names cannot be used",
        where=repr(pattern[:80]),
        reason=reason,
        hint="write the pattern in a simpler form, with names, dots, classes and .*",
    )
