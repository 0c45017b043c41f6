"""Trimming in Go templates, whose language has no function for it.

A template that calls itself without its text's first or last character does it. White space is what
Python's str.strip takes away; characters of two and three bytes are compared as such slices.
"""

from __future__ import annotations

from collections.abc import Iterator

from quantize.ollama.templates.go_writer import go_string
from quantize.ollama.templates.slots import NO_TRIM, Trim, WhiteSpace

_SPACES = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_TRIM = Trim(WhiteSpace.TRIMMED, WhiteSpace.TRIMMED)


def trim_template(trim: Trim) -> tuple[str, str] | None:
    """Name and source of the template for what happens to a text's sides; None if nothing does."""
    if trim == NO_TRIM:
        return None
    name = "trim" if trim == _TRIM else f"trim-{trim.left}-{trim.right}"
    branches = []
    for side, first in ((trim.left, True), (trim.right, False)):
        for size, spaces in _spaces(side):
            many = f"(ge (len .) {size})"
            piece = f"(slice . 0 {size})" if first else f"(slice . (len (slice . {size})))"
            rest = f"slice . {size}" if first else f"slice . 0 (len (slice . {size}))"
            condition = f"and {many} (eq {piece} {spaces})"
            branches.append((condition, f'{{{{ template "{name}" {rest} }}}}'))
    chain = "".join(
        f"\n{{{{- {'if' if number == 0 else 'else if'} {condition} }}}}{action}"
        for number, (condition, action) in enumerate(branches)
    )
    source = (
        f'{{{{- define "{name}" }}}}{chain}\n{{{{- else }}}}{{{{ . }}}}{{{{ end }}}}{{{{ end }}}}'
    )
    return name, source


def _spaces(side: WhiteSpace) -> Iterator[tuple[int, str]]:
    """Numbers of bytes, and the Go strings of the white space that has as many."""
    taken = {WhiteSpace.KEPT: "", WhiteSpace.TRIMMED: _SPACES, WhiteSpace.NEWLINES: "\n"}[side]
    for size in (1, 2, 3):
        if some := [go_string(one) for one in taken if len(one.encode()) == size]:
            yield size, " ".join(some)
