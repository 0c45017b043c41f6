"""Trimming in Go templates, whose language has no function for it.

A template that calls itself without its text's first or last character does it. The short form
takes ASCII white space away, and fits on three lines that people can read. The exact one takes away
what Python's str.strip does; characters of two and three bytes are compared as such slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from quantize.ollama.templates.go_writer import go_string
from quantize.ollama.templates.slots import NO_TRIM, Trim, WhiteSpace

ASCII_SPACES = " \n\t\r"
_SPACES = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_NAMES = {
    Trim(WhiteSpace.TRIMMED, WhiteSpace.TRIMMED): "trim",
    Trim(WhiteSpace.TRIMMED, WhiteSpace.KEPT): "trim-left",
    Trim(WhiteSpace.KEPT, WhiteSpace.TRIMMED): "trim-right",
}


def trim_template(trim: Trim) -> tuple[str, str] | None:
    """Name and source of the short template for a text's sides; None if nothing happens to them."""
    return None if trim == NO_TRIM else (_name(trim), _source(trim, ASCII_SPACES))


def with_exact_trims(template: str) -> str:
    """The same template with trims that take every kind of white space away."""
    for trim in map(Trim._make, product(WhiteSpace, WhiteSpace)):
        if trim != NO_TRIM:
            template = template.replace(_source(trim, ASCII_SPACES), _source(trim, _SPACES))
    return template


def _name(trim: Trim) -> str:
    return _NAMES.get(trim, f"trim-{trim.left}-{trim.right}")


def _source(trim: Trim, spaces: str) -> str:
    name = _name(trim)
    branches = []
    for side, first in ((trim.left, True), (trim.right, False)):
        for size, taken in _taken(side, spaces):
            # Where a text is one byte long at most, `.` says as much as its length.
            many = f"(ge (len .) {size})" if size > 1 else "."
            piece = f"(slice . 0 {size})" if first else f"(slice . (len (slice . {size})))"
            rest = f"slice . {size}" if first else f"slice . 0 (len (slice . {size}))"
            condition = f"and {many} (eq {piece} {taken})"
            branches.append((condition, f'{{{{ template "{name}" ({rest}) }}}}'))
    chain = "\n{{- else ".join(f"if {condition} }}}}{action}" for condition, action in branches)
    otherwise = "{{- else }}{{ . }}{{ end }}{{ end }}"
    return f'{{{{- define "{name}" }}}}{{{{ {chain}\n{otherwise}'


def _taken(side: WhiteSpace, spaces: str) -> Iterator[tuple[int, str]]:
    """Numbers of bytes, and the Go strings of the white space that has as many."""
    taken = {WhiteSpace.KEPT: "", WhiteSpace.TRIMMED: spaces, WhiteSpace.NEWLINES: "\n"}[side]
    for size in (1, 2, 3):
        if some := [go_string(one) for one in taken if len(one.encode()) == size]:
            yield size, " ".join(some)
