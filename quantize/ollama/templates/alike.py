"""Turns that differ in nothing but the name of their role: the template then writes them once."""

from __future__ import annotations

from typing import NamedTuple

from quantize.ollama.templates.decisions import Leaf
from quantize.ollama.templates.grammar import END, Grammar

# Kind of node -> the name of its role.
_ROLES = {"system": "system", "user": "user", "text": "assistant"}


class Turn(NamedTuple):
    """What is before and after the role's name, and after the text."""

    before: str
    between: str
    after: str


def turn_of_all(grammar: Grammar) -> Turn | None:
    """How every turn is written; None if they are not alike."""
    if grammar.before.keys() != {*_ROLES, END} or grammar.places.system != "turn":
        return None
    # What differs beside the name: the text before and after, what is trimmed, whether it is shown.
    found = {_turn(grammar, kind, role) for kind, role in _ROLES.items()}
    trims = {grammar.trim[kind] for kind in _ROLES}
    shown = {grammar.shown[kind] for kind in _ROLES}
    is_alike = len(found) == len(trims) == 1 and shown == {Leaf(value=True)}
    return found.pop() if is_alike else None


def _turn(grammar: Grammar, kind: str, role: str) -> Turn | None:
    tree = grammar.before[kind]
    if not isinstance(tree, Leaf) or tree.value.count(role) != 1:
        return None
    before, _, between = tree.value.partition(role)
    return Turn(before, between, grammar.after.get(kind, ""))
