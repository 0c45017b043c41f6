"""The command `imatrix`."""

from __future__ import annotations

from pathlib import Path

from quantize.cli import options as opt
from quantize.cli.command import command
from quantize.cli.output import Printer
from quantize.errors import UsageError


@command()
def imatrix(  # noqa: PLR0913 (its flags)
    out: Printer,
    file: opt.ImatrixFile,
    model: opt.ImatrixModel = None,
    *,
    text: opt.Texts = [],  # noqa: B006 (Typer's default of an option that may be repeated)
    output: opt.ImatrixOutput = Path("imatrix.gguf"),
    context: opt.CalibrationContext = 512,
    chunks: opt.Chunks = None,
    jobs: opt.Threads = None,
    every: opt.All = False,
) -> None:
    """Show an importance matrix: how much of the model it saw, and what matters most and least.

    A column's importance is the mean of its squared inputs over the calibration text. `quantize
    imatrix make MODEL --text FILE` makes one through llama.cpp, which the extra `eval` brings.
    """
    from quantize import api
    from quantize.cli.views.imatrix import imatrix_events, imatrix_view

    if model is None and not text:
        found = api.imatrix(file)
    elif str(file) == "make" and model is not None and text:
        with out.progress() as progress:
            found = api.make_imatrix(
                model, text, output, progress, context=context, chunks=chunks, jobs=jobs
            )
    else:
        raise UsageError(
            "imatrix-what",
            "either one file to show, or a model and a text to make one",
            where="quantize imatrix",
            hint="quantize imatrix make MODEL --text FILE",
        )
    out.show(imatrix_view(found, every=every), imatrix_events(found))
