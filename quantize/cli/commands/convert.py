"""The command `convert`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from quantize.cli import options as opt
from quantize.cli.command import command
from quantize.cli.output import Printer
from quantize.errors import EXIT_VERIFICATION, UsageError
from quantize.options import Options
from quantize.options.hub import PublishOptions

if TYPE_CHECKING:
    from quantize.api import Converted


@command(when_interrupted="Nothing incomplete has a final name. Run it again to continue.")
def convert(
    out: Printer,
    source: opt.Source,
    options: Options,
    publishing: PublishOptions,
    *,
    dry_run: opt.DryRun = False,
    push: opt.Push = None,
    ollama: opt.Ollama = None,
    every: opt.All = False,
) -> None:
    """Write quantized GGUF files, with a Modelfile for Ollama and a manifest."""
    # Here and in the other commands: what --help does not need is imported after parsing.
    from quantize import api
    from quantize.cli.reports import write_reports
    from quantize.cli.views.converted import converted_events, converted_view
    from quantize.cli.views.plan import plan_events, plan_view
    from quantize.cli.views.pushed import pushed_events, pushed_view
    from quantize.ollama.server.create import check_name
    from quantize.verbs.push import target

    if ollama is not None:
        check_name(ollama)
    if dry_run:
        with out.progress() as progress:
            planned = api.plan(source, options, progress)
        out.show(plan_view(planned, every=every), plan_events(planned))
        return
    if push is not None:
        # Before hours of work: whether the repository can be written to at all.
        target(push, options.token, private=publishing.private)
    with out.progress() as progress:
        done = api.convert(source, options, progress)
    write_reports(done)
    out.show(converted_view(done), converted_events(done))
    if push is not None:
        with out.progress() as progress:
            pushed = api.push(
                [one.path for file in done.files for one in file.files],
                push,
                token=options.token,
                private=publishing.private,
                force=publishing.force,
                progress=progress,
            )
        out.show(pushed_view(pushed), pushed_events(pushed))
    if ollama is not None:
        _into_ollama(out, done, ollama)


def _into_ollama(out: Printer, done: Converted, name: str) -> None:
    """A model for each type: the first has the plain name, the others have theirs as a tag."""
    from quantize import api
    from quantize.cli.views.converted import ollama_models
    from quantize.cli.views.created import created_events, created_view

    if not done.modelfiles:
        raise UsageError(
            "no-model-for-ollama",
            "a projector alone is no model that Ollama can run",
            where="--ollama",
            hint="leave out --ollama; name the file in a second FROM of the text model's Modelfile",
        )
    digests = {one.path.resolve(): one.sha256 for file in done.files for one in file.files}
    differs = False
    for model, path in ollama_models(done, name):
        with out.progress() as progress:
            created = api.create_in_ollama(model, path, progress, digests)
        out.show(created_view(created), created_events(created))
        differs = differs or bool(created.differences)
    if differs:
        raise typer.Exit(EXIT_VERIFICATION)
