"""The command `inspect`."""

from __future__ import annotations

from quantize.cli import options as opt
from quantize.cli.command import command
from quantize.cli.output import Printer
from quantize.options.hub import TokenOptions


@command(quiet=False)
def inspect(
    out: Printer, source: opt.AnySource, asking: TokenOptions, *, every: opt.All = False
) -> None:
    """Show the key-values and tensors of a GGUF file or a checkpoint.

    A checkpoint's key-values are those that its GGUF file would have; tensors are as they are
    stored.
    """
    from quantize import api
    from quantize.cli.views.inspection import inspection_events, inspection_view

    found = api.inspect(source, asking.token)
    out.show(inspection_view(found, every=every), inspection_events(found))
