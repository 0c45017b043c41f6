"""The command `doctor`."""

from __future__ import annotations

import typer

from quantize.cli import options as opt
from quantize.cli.command import command
from quantize.cli.output import Printer
from quantize.errors import EXIT_VERIFICATION


@command(quiet=False)
def doctor(out: Printer, file: opt.GGUFPath, modelfile: opt.ModelfilePath = None) -> None:
    """Look for what makes a second-class model of a GGUF file in Ollama.

    A line for each check: fine, a warning or an error, with what to do. Errors end in exit code 8.
    """
    from quantize import api
    from quantize.cli.views.findings import finding_events, findings_view

    found = api.diagnose(file, modelfile)
    out.show(findings_view(found), finding_events(found))
    if any(finding.level == "error" for finding in found):
        raise typer.Exit(EXIT_VERIFICATION)
