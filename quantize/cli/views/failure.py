"""An error: what is wrong, where, why, and what to try next."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from quantize.cli.views.tables import facts
from quantize.errors import QuantizeError


def failure_view(error: QuantizeError) -> RenderableType:
    head = Text.assemble(("error", "bold red"), f"[{error.code}]: ", (error.message, "bold"))
    rows = (("where", error.where), ("why", error.reason), ("try", error.hint))
    known = [(name, value) for name, value in rows if value]
    return Group(head, facts(known)) if known else head
