"""The command `ollama`."""

from __future__ import annotations

import typer

from quantize.cli import options as opt
from quantize.cli.command import command
from quantize.cli.output import Printer
from quantize.errors import EXIT_VERIFICATION


@command()
def ollama(
    out: Printer, action: opt.OllamaAction, name: opt.OllamaModel, place: opt.ModelfilePlace
) -> None:
    """Make a model in Ollama from a folder that `convert` wrote, and compare what became of it.

    The server is that of OLLAMA_HOST. Exit code 8 if it reports another template, other parameters
    or other capabilities than were meant.
    """
    from quantize import api
    from quantize.cli.views.created import created_events, created_view

    with out.progress() as progress:
        created = api.create_in_ollama(name, place, progress)
    out.show(created_view(created), created_events(created))
    if created.differences:
        raise typer.Exit(EXIT_VERIFICATION)
