"""Equal trees for equal patterns: finite alternatives as words, no needless possessives."""

from __future__ import annotations

import sys
import unicodedata
from functools import lru_cache

from quantize.vocab.regex.nodes import Alt, Cat, Look, Node, Repeat, Set, Words, joined

# More words than this are clearer as a pattern; contractions in every case are 20.
_MAX_WORDS = 64


def simplify(node: Node) -> Node:
    """The same pattern as a tree of the normal form."""
    match node:
        case Alt(nodes):
            return _simple_alt([simplify(one) for one in nodes])
        case Cat(nodes):
            return _simple_cat([simplify(one) for one in nodes])
        case Repeat(inner, 1, 1, _):
            return simplify(inner)
        case Repeat(inner, low, high, mode):
            return Repeat(simplify(inner), low, high, mode)
        case Look(kind, inner):
            return Look(kind, simplify(inner))
    return node


def _simple_alt(nodes: list[Node]) -> Node:
    flat: list[Node] = []
    for node in nodes:
        for one in node.nodes if isinstance(node, Alt) else (node,):
            last = _words(flat[-1]) if flat else None
            united = _united_words(last, _words(one))
            if united:
                flat[-1] = united
            else:
                flat.append(one)
    return flat[0] if len(flat) == 1 else Alt(tuple(flat))


def _simple_cat(nodes: list[Node]) -> Node:
    flat: list[Node] = []
    for node in nodes:
        for one in node.nodes if isinstance(node, Cat) else (node,):
            last, words = (_words(flat[-1]) if flat else None), _words(one)
            if last and words and len(last.texts) * len(words.texts) <= _MAX_WORDS:
                texts = frozenset(a + b for a in last.texts for b in words.texts)
                flat[-1] = Words(texts)
            else:
                flat.append(one)
    flat = [_greedy(one, flat[i + 1 :]) for i, one in enumerate(flat)]
    return flat[0] if len(flat) == 1 else Cat(tuple(flat))


def _words(node: Node) -> Words | None:
    if isinstance(node, Words):
        return node
    if not isinstance(node, Set) or node.negated or node.classes or node.both:
        return None
    if sum(high - low + 1 for low, high in node.ranges) > _MAX_WORDS:
        return None
    return Words(frozenset(chr(c) for low, high in node.ranges for c in range(low, high + 1)))


def _united_words(first: Words | None, second: Words | None) -> Words | None:
    if first is None or second is None:
        return None
    texts = first.texts | second.texts
    clash = any(a != b and b.startswith(a) for a in texts for b in texts)
    return None if clash or len(texts) > _MAX_WORDS else Words(texts)


def _greedy(node: Node, rest: list[Node]) -> Node:
    """A possessive repetition as a greedy one, where giving back could never help what follows."""
    if not isinstance(node, Repeat) or node.mode != "+":
        return node
    if rest and not _apart(_first(node.node), _first_of_rest(rest)):
        return node
    return Repeat(node.node, node.low, node.high, "")


def _first(node: Node) -> Set | None:
    match node:
        case Set():
            return node
        case Words(texts):
            return Set(joined((ord(text[0]), ord(text[0])) for text in texts))
        case Repeat(inner, _, _, _):
            return _first(inner)
    return None


def _first_of_rest(rest: list[Node]) -> Set | None:
    """The first character of what follows, if it has to have one or may end the pattern."""
    match rest[0]:
        case Repeat(_, 0, _, _) if len(rest) > 1:
            return None
    return _first(rest[0])


def _apart(first: Set | None, second: Set | None) -> bool:
    """Whether no character is in both sets."""
    if first is None or second is None:
        return False
    ends = {end for one in (*first.ranges, *second.ranges) for end in one}
    samples = ends | {end + 1 for end in ends} | {end - 1 for end in ends} | _samples()
    return not any(
        _holds(first, chr(c)) and _holds(second, chr(c))
        for c in samples
        if 0 <= c <= sys.maxunicode
    )


@lru_cache(maxsize=1)
def _samples() -> frozenset[int]:
    """A code point of every general category, white space and not, ASCII and not."""
    found: dict[tuple[str, bool, bool], int] = {}
    for code in range(0x3000):
        letter = chr(code)
        found.setdefault((unicodedata.category(letter), letter.isspace(), code < 128), code)
    return frozenset(found.values())


def _holds(one: Set, character: str) -> bool:
    inside = any(low <= ord(character) <= high for low, high in one.ranges) or any(
        _in_class(name, character) for name in one.classes
    )
    return inside != one.negated and all(_holds(other, character) for other in one.both)


def _in_class(name: str, character: str) -> bool:
    if name.startswith("^"):
        return not _in_class(name[1:], character)
    category = unicodedata.category(character)
    if name.startswith("p{"):
        return category.startswith(name[2:-1])
    return {
        "s": character.isspace(),
        "d": category == "Nd",
        "w": category[0] in "LMN" or category == "Pc",
    }[name]
