"""Oniguruma patterns, as far as pre-tokenizers use them, to nodes."""

from __future__ import annotations

import re

from quantize.vocab.regex.nodes import (
    Alt,
    Anchor,
    Cat,
    Look,
    Node,
    Repeat,
    Set,
    UnsupportedSyntaxError,
    joined,
    one_character,
)

_ESCAPES = {
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "f": "\f",
    "v": "\v",
    "e": "\x1b",
    "a": "\a",
    "0": "\0",
}
_QUANTIFIER = re.compile(r"\{(\d*)(,?)(\d*)\}")
_ESCAPED = re.compile(
    r"p\{\^?[^}]+\}|P\{[^}]+\}|x\{[0-9A-Fa-f]+\}|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|.", re.DOTALL
)


def parse(pattern: str) -> Node:
    """The tree of a pattern.

    Raises UnsupportedSyntaxError, or IndexError where the pattern breaks off.
    """
    return _Parser(pattern).parse()


class _Parser:
    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0

    def parse(self) -> Node:
        node = self._alternatives(fold=False)
        if self.at < len(self.text):
            raise UnsupportedSyntaxError(self.text)
        return node

    def _peek(self, text: str) -> bool:
        return self.text.startswith(text, self.at)

    def _take(self, text: str) -> bool:
        found = self._peek(text)
        self.at += len(text) if found else 0
        return found

    def _alternatives(self, *, fold: bool) -> Node:
        branches = [self._sequence(fold=fold)]
        while self._take("|"):
            branches.append(self._sequence(fold=fold))
        return Alt(tuple(branches))

    def _sequence(self, *, fold: bool) -> Node:
        nodes: list[Node] = []
        while self.at < len(self.text) and not self._peek("|") and not self._peek(")"):
            nodes.append(self._quantified(self._atom(fold=fold)))
        return Cat(tuple(nodes))

    def _quantified(self, node: Node) -> Node:
        while self.at < len(self.text):
            counted = _QUANTIFIER.match(self.text, self.at)
            if counted and (counted[1] or counted[3]):
                low = int(counted[1] or 0)
                high = low if not counted[2] else int(counted[3]) if counted[3] else None
                self.at = counted.end()
                # Oniguruma reads {n,m}+ as a repeated repetition, not as a possessive one.
                node = Repeat(node, low, high, "?" if self._take("?") else "")
                continue
            sign = self.text[self.at]
            if sign not in "*+?":
                return node
            self.at += 1
            mode = "+" if self._take("+") else "?" if self._take("?") else ""
            node = Repeat(node, int(sign == "+"), 1 if sign == "?" else None, mode)
        return node

    def _atom(self, *, fold: bool) -> Node:
        if self._take("("):
            return self._group(fold=fold)
        if self._take("["):
            return _folded(self._set()) if fold else self._set()
        sign = self.text[self.at]
        if sign == ".":
            self.at += 1
            return Set(joined([(10, 10)]), negated=True)
        if sign in "^$":
            self.at += 1
            return Anchor(sign)
        if sign == "\\" and self.text[self.at + 1] in "bBAzZ":
            self.at += 2
            return Anchor(self.text[self.at - 2 : self.at])
        found = self._character()
        return _folded(found) if fold else found

    def _group(self, *, fold: bool) -> Node:
        look = next((kind for kind in ("?=", "?!", "?<=", "?<!", "?>") if self._take(kind)), None)
        if look is None:
            if self._take("?i:"):
                fold = True
            elif self._take("?-i:"):
                fold = False
            elif not self._take("?:") and self._peek("?"):
                raise UnsupportedSyntaxError(self.text)
        node = self._alternatives(fold=fold)
        if not self._take(")"):
            raise UnsupportedSyntaxError(self.text)
        return node if look is None else Look(look, node)

    def _character(self) -> Set:
        """One character or class escape, outside or inside of brackets."""
        if not self._take("\\"):
            self.at += 1
            return one_character(self.text[self.at - 1])
        found = _ESCAPED.match(self.text, self.at)
        if found is None:
            raise UnsupportedSyntaxError(self.text)
        self.at = found.end()
        escape = found[0]
        if escape[0] in "pP" and len(escape) > 1:
            negated = (escape[0] == "P") != (escape[2] == "^")
            return Set(classes=frozenset({f"p{{{escape[2:-1].lstrip('^')}}}"}), negated=negated)
        if escape[0] in "xu" and len(escape) > 1:
            return one_character(chr(int(escape[1:].strip("{}"), 16)))
        if escape in "sSdDwW":
            return Set(classes=frozenset({escape.lower()}), negated=escape.isupper())
        if escape.isalnum() and escape not in _ESCAPES:
            raise UnsupportedSyntaxError(self.text)
        return one_character(_ESCAPES.get(escape, escape))

    def _set(self) -> Set:
        """The rest of a bracketed set; sets inside are united."""
        negated = self._take("^")
        parts: list[Set] = []
        both: list[Set] = []
        while not (self._peek("]") and parts):
            if self._peek("[:"):
                raise UnsupportedSyntaxError(self.text)
            if self._take("&&"):
                both.append(self._set() if self._take("[") else self._character())
                continue
            if self._take("["):
                parts.append(self._set())
                continue
            low = self._character()
            if self._peek("-") and not self._peek("-]") and len(low.ranges) == 1:
                self.at += 1
                high = self._character()
                if not high.ranges:
                    raise UnsupportedSyntaxError(self.text)
                low = Set(joined([(low.ranges[0][0], high.ranges[0][0])]))
            parts.append(low)
        self.at += 1
        return _united(parts, negated=negated, both=tuple(both))


def _united(parts: list[Set], *, negated: bool, both: tuple[Set, ...]) -> Set:
    if len(parts) == 1 and not both and not parts[0].both:
        only = parts[0]
        return Set(only.ranges, only.classes, negated=only.negated != negated)
    if any(part.both or (part.negated and part.ranges) for part in parts):
        raise UnsupportedSyntaxError("a negated set inside a set")
    classes = (
        "^" + name if part.negated else name for part in parts for name in sorted(part.classes)
    )
    ranges = joined(one for part in parts for one in part.ranges)
    return Set(ranges, frozenset(classes), negated=negated, both=both)


def _folded(found: Set) -> Set:
    """Both cases of the ASCII letters of a set."""
    other = [
        (ord(letter.swapcase()),) * 2
        for low, high in found.ranges
        for letter in map(chr, range(max(low, 65), min(high, 122) + 1))
        if letter.isalpha()
    ]
    return Set(joined([*found.ranges, *other]), found.classes, found.negated, found.both)
