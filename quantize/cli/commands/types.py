"""The command `types`."""

from __future__ import annotations

from quantize.cli import options as opt
from quantize.cli.output import session


def types(*, json: opt.Json = False) -> None:
    """List what --type takes."""
    with session(json=json) as out:
        from quantize import api
        from quantize.cli.views.lists import type_events, types_view

        rows = api.list_types()
        out.show(types_view(rows), type_events(rows))
