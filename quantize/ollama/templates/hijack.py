"""Whether Ollama may take a chat template for one that it knows, and use its own in its place.

`ollama create` compares the Jinja of a GGUF file with 37 texts and takes the nearest if fewer than
100 edits turn one into the other: short templates of quite another format have been taken for
ChatML. The texts are others' work, so what is kept of them is how often each has each character.
That bounds the distance from below: a "no" is certain, a "maybe" is not.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

# At fewer edits than this Ollama sees a match.
MAX_EDITS = 100


def may_be_taken_for(jinja: str) -> str | None:
    """The name of Ollama's template that `jinja` may be taken for: the likeliest, or None."""
    own = Counter(jinja)
    distance, name = min((_least_edits(own, known), name) for name, known in _index())
    return name if distance < MAX_EDITS else None


def _least_edits(one: Counter[str], other: Counter[str]) -> int:
    """No fewer edits turn one text into the other: each adds or removes at most one character."""
    return max((one - other).total(), (other - one).total())


@cache
def _index() -> tuple[tuple[str, Counter[str]], ...]:
    text = files(__package__).joinpath("template_index.json").read_text(encoding="utf-8")
    entries: list[tuple[str, Mapping[str, int]]] = json.loads(text)
    return tuple((name, Counter(counts)) for name, counts in entries)
