"""The command `architectures`."""

from __future__ import annotations

from quantize.cli import options as opt
from quantize.cli.output import session


def architectures(*, json: opt.Json = False) -> None:
    """List the architectures that can be converted, as config.json and as GGUF name them."""
    with session(json=json) as out:
        from quantize import api
        from quantize.cli.views.lists import architecture_events, architectures_view

        rows = api.list_architectures()
        out.show(architectures_view(rows), architecture_events(rows))
