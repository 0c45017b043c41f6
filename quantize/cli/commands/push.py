"""The command `push`."""

from __future__ import annotations

from pathlib import Path

from quantize.cli import options as opt
from quantize.cli.output import session

_INTERRUPTED = "Nothing was committed. Run it again to continue."


def push(
    files: opt.Files,
    repo: opt.Repo,
    *,
    private: opt.Private = False,
    force: opt.Force = False,
    token: opt.Token = None,
    quiet: opt.Quiet = False,
    json: opt.Json = False,
) -> None:
    """Publish GGUF files on the Hub, with their Modelfile, manifest and a model card.

    The repository is made if it is not there. What is there already is not sent again.
    """
    with session(json=json, quiet=quiet, when_interrupted=_INTERRUPTED) as out:
        from quantize.cli.views.pushed import pushed_events, pushed_view
        from quantize.verbs.push import push

        with out.progress() as progress:
            done = push(
                [Path(file) for file in files],
                repo,
                token=token,
                private=private,
                force=force,
                progress=progress,
            )
        out.show(pushed_view(done), pushed_events(done))
