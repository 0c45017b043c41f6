"""Nodes to text."""

from __future__ import annotations

from quantize.vocab.regex.nodes import (
    Alt,
    Anchor,
    Cat,
    Look,
    Node,
    Repeat,
    Set,
    Words,
    joined,
)


def write(node: Node) -> str:
    """The one spelling of a simplified tree."""
    match node:
        case Alt(nodes):
            text = "|".join(write(one) for one in nodes)
        case Cat(nodes):
            text = "".join(_grouped(one, Alt) for one in nodes)
        case Words(texts):
            text = _write_words(texts)
        case Set():
            text = _write_set(node)
        case Repeat(inner, low, high, mode):
            text = _grouped(inner, Alt, Cat, Repeat) + _counts(low, high) + mode
        case Look(kind, inner):
            text = f"({kind}{write(inner)})"
        case Anchor(text):
            pass
    return text


def _grouped(node: Node, *kinds: type) -> str:
    long_word = isinstance(node, Words) and len(node.texts) == 1 and len(min(node.texts)) > 1
    group = isinstance(node, kinds) or (long_word and Repeat in kinds)
    return f"(?:{write(node)})" if group else write(node)


def _counts(low: int, high: int | None) -> str:
    short = {(0, None): "*", (1, None): "+", (0, 1): "?"}
    if (low, high) in short:
        return short[low, high]
    return f"{{{low}}}" if low == high else f"{{{low},{'' if high is None else high}}}"


def _write_words(texts: frozenset[str]) -> str:
    if all(len(text) == 1 for text in texts):
        return _write_set(Set(joined((ord(text), ord(text)) for text in texts)))
    text = "|".join("".join(map(_letter, word)) for word in sorted(texts))
    return text if len(texts) == 1 else f"(?:{text})"


def _write_set(one: Set) -> str:
    plain = not one.classes and not one.negated and not one.both
    if plain and len(one.ranges) == 1 and one.ranges[0][0] == one.ranges[0][1]:
        return _letter(chr(one.ranges[0][0]))
    if len(one.classes) == 1 and not one.ranges and not one.both:
        return _write_class(next(iter(one.classes)), negated=one.negated)
    classes = "".join(_write_class(name, negated=False) for name in sorted(one.classes))
    ranges = "".join(
        _letter(chr(low)) + (f"-{_letter(chr(high))}" if high > low else "")
        for low, high in one.ranges
    )
    both = "".join("&&" + _write_set(other) for other in one.both)
    return f"[{'^' if one.negated else ''}{classes}{ranges}{both}]"


def _write_class(name: str, *, negated: bool) -> str:
    if name.startswith("^"):
        name, negated = name[1:], not negated
    return "\\" + (name[0].upper() + name[1:] if negated else name)


def _letter(letter: str) -> str:
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t", " ": " "}
    if letter in named:
        return named[letter]
    if letter in r"\.^$*+?{}[]|()-&":
        return "\\" + letter
    return letter if letter.isprintable() else f"\\x{{{ord(letter):X}}}"
