"""The command `imatrix`."""

from __future__ import annotations

from quantize.cli import options as opt
from quantize.cli.command import command
from quantize.cli.output import Printer


@command(quiet=False)
def imatrix(out: Printer, file: opt.ImatrixFile, *, every: opt.All = False) -> None:
    """Show an importance matrix: how much of the model it saw, and what matters most and least.

    A column's importance is the mean of its squared inputs over the calibration text.
    """
    from quantize import api
    from quantize.cli.views.imatrix import imatrix_events, imatrix_view

    found = api.imatrix(file)
    out.show(imatrix_view(found, every=every), imatrix_events(found))
