"""The command `architectures`."""

from __future__ import annotations

from quantize.cli.command import command
from quantize.cli.output import Printer


@command(quiet=False)
def architectures(out: Printer) -> None:
    """List the architectures that can be converted, as config.json and as GGUF name them."""
    from quantize import api
    from quantize.cli.views.lists import architecture_events, architectures_view

    rows = api.list_architectures()
    out.show(architectures_view(rows), architecture_events(rows))
