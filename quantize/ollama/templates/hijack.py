"""Whether Ollama may take a chat template for one that it knows, and use its own in its place.

`ollama create` compares the Jinja of a GGUF file with 37 texts and takes the nearest if fewer than
100 edits turn one into the other: short templates of quite another format have been taken for
ChatML. The texts are others' work, so what is kept of them is a digit for each character, which a
dozen characters share. The texts differ by as many edits as their digits at least: a "no" is
certain, and a "maybe" is wrong where texts differ by little more than 100 edits.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from importlib.resources import files

# At fewer edits than this Ollama sees a match.
MAX_EDITS = 100
_DIGITS = 9


def may_be_taken_for(jinja: str) -> str | None:
    """The name of Ollama's template that `jinja` may be taken for: the likeliest, or None."""
    own = digits_of(jinja)
    distance, name = min((_edits(own, known), name) for name, known in _index())
    return name if distance < MAX_EDITS else None


def digits_of(text: str) -> str:
    """A digit for each character of a text."""
    return "".join(str(ord(character) % _DIGITS) for character in text)


def _edits(one: str, other: str) -> int:
    """How many characters are to be changed, added or removed; MAX_EDITS stands for more as well.

    Levenshtein's distance, of which only the part counts that stays below MAX_EDITS.
    """
    counts, others = Counter(one), Counter(other)
    if max((counts - others).total(), (others - counts).total()) >= MAX_EDITS:
        return MAX_EDITS
    above = list(range(len(other) + 1))
    for row, digit in enumerate(one, start=1):
        first, last = max(1, row - MAX_EDITS), min(len(other), row + MAX_EDITS)
        line = [MAX_EDITS] * (len(other) + 1)
        line[0] = row
        for column in range(first, last + 1):
            changed = above[column - 1] + (digit != other[column - 1])
            line[column] = min(changed, above[column] + 1, line[column - 1] + 1)
        if min(line) >= MAX_EDITS:
            return MAX_EDITS
        above = line
    return min(above[-1], MAX_EDITS)


@cache
def _index() -> tuple[tuple[str, str], ...]:
    text = files(__package__).joinpath("template_index.json").read_text(encoding="utf-8")
    entries: list[tuple[str, str]] = json.loads(text)
    return tuple((name, digits) for name, digits in entries)
