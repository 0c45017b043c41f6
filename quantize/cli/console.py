"""The console of all output for people: no text of a file acts on the terminal.

Tensor names, key-values and error texts may come of a hostile file. An escape sequence in them
could move the cursor, hide text or answer in the person's place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

# Control characters but line breaks and tabs, and marks that turn the direction of text around.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# One cell wide, as tables have counted it or nearly so.
_SHOWN = "\N{REPLACEMENT CHARACTER}"


def shown(text: str) -> str:
    """`text` with a mark in place of each character that a terminal would act on."""
    return _CONTROLS.sub(_SHOWN, text)


class SafeConsole(Console):
    """A console that writes the control sequences of its own styles only."""

    def on_broken_pipe(self) -> None:
        """Rich would end the program with 1 in place of the documented code."""
        raise BrokenPipeError

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else shown(text), style, control)
