"""The command `doctor`."""

from __future__ import annotations

import typer

from quantize.cli import options as opt
from quantize.cli.output import session
from quantize.errors import EXIT_VERIFICATION


def doctor(
    file: opt.GGUFPath, modelfile: opt.ModelfilePath = None, *, json: opt.Json = False
) -> None:
    """Look for what makes a second-class model of a GGUF file in Ollama.

    A line for each check: fine, a warning or an error, with what to do. Errors end in exit code 8.
    """
    with session(json=json) as out:
        from quantize import api
        from quantize.cli.views.findings import finding_events, findings_view

        found = api.diagnose(file, modelfile)
        out.show(findings_view(found), finding_events(found))
        if any(finding.level == "error" for finding in found):
            raise typer.Exit(EXIT_VERIFICATION)
