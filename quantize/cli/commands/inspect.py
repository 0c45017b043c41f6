"""The command `inspect`."""

from __future__ import annotations

from quantize.cli import options as opt
from quantize.cli.output import session


def inspect(
    source: opt.AnySource,
    *,
    token: opt.Token = None,
    every: opt.All = False,
    json: opt.Json = False,
) -> None:
    """Show the key-values and tensors of a GGUF file or a checkpoint.

    A checkpoint's key-values are those that its GGUF file would have; tensors are as they are
    stored.
    """
    with session(json=json) as out:
        from quantize import api
        from quantize.cli.views.inspection import inspection_events, inspection_view

        found = api.inspect(source, token)
        out.show(inspection_view(found, every=every), inspection_events(found))
