"""The command `types`."""

from __future__ import annotations

from quantize.cli.command import command
from quantize.cli.output import Printer


@command(quiet=False)
def types(out: Printer) -> None:
    """List what --type takes."""
    from quantize import api
    from quantize.cli.views.lists import type_events, types_view

    rows = api.list_types()
    out.show(types_view(rows), type_events(rows))
