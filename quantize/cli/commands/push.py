"""The command `push`."""

from __future__ import annotations

from pathlib import Path

from quantize.cli import options as opt
from quantize.cli.command import command
from quantize.cli.output import Printer
from quantize.options.hub import PublishOptions, TokenOptions


@command(when_interrupted="Nothing was committed. Run it again to continue.")
def push(
    out: Printer,
    files: opt.Files,
    repo: opt.Repo,
    publishing: PublishOptions,
    asking: TokenOptions,
) -> None:
    """Publish GGUF files on the Hub, with their Modelfile, manifest and a model card.

    The repository is made if it is not there. What is there already is not sent again.
    """
    from quantize import api
    from quantize.cli.views.pushed import pushed_events, pushed_view

    with out.progress() as progress:
        done = api.push(
            [Path(file) for file in files],
            repo,
            token=asking.token,
            private=publishing.private,
            force=publishing.force,
            progress=progress,
        )
    out.show(pushed_view(done), pushed_events(done))
