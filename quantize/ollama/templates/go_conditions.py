"""Conditions of Go templates, joined by and, or and not; constants are worked out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Always:
    pass


@dataclass(frozen=True, slots=True)
class Never:
    pass


@dataclass(frozen=True, slots=True)
class When:
    """A condition that only the template knows, as Go."""

    go: str


Condition: TypeAlias = Always | Never | When


def when(go: str) -> Condition:
    """The condition that Go writes so; "" always holds."""
    return When(go) if go else Always()


def all_of(conditions: Iterable[Condition]) -> Condition:
    """Whether all hold."""
    some = list(conditions)
    if any(isinstance(one, Never) for one in some):
        return Never()
    asked = [one.go for one in some if isinstance(one, When)]
    return _joined("and", asked) if asked else Always()


def any_of(conditions: Iterable[Condition]) -> Condition:
    """Whether one holds."""
    some = list(conditions)
    if any(isinstance(one, Always) for one in some):
        return Always()
    asked = [one.go for one in some if isinstance(one, When)]
    return _joined("or", asked) if asked else Never()


def negated(condition: Condition) -> Condition:
    if isinstance(condition, When):
        is_equality = condition.go.startswith("eq ")
        return When(f"ne{condition.go[2:]}" if is_equality else f"not ({condition.go})")
    return Never() if isinstance(condition, Always) else Always()


def _joined(word: str, conditions: list[str]) -> When:
    if len(conditions) == 1:
        return When(conditions[0])
    return When(f"{word} {' '.join(f'({one})' if ' ' in one else one for one in conditions)}")
