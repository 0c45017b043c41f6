"""The command `modelfile`."""

from __future__ import annotations

import sys
from pathlib import Path

from quantize.cli import options as opt
from quantize.cli.command import command
from quantize.cli.console import shown
from quantize.cli.output import Printer
from quantize.errors import UsageError
from quantize.options.modelfile import ModelfileOptions


@command(quiet=False)
def modelfile(
    out: Printer,
    file: opt.GGUFPath,
    options: ModelfileOptions,
    *,
    output: opt.ModelfileOutput = None,
) -> None:
    """Write a Modelfile for a GGUF file, also for one made elsewhere.

    Stops and sampling values come from the file itself, TEMPLATE only if it is proven.
    """
    from quantize import api
    from quantize.cli.views.modelfile import modelfile_events, modelfile_view
    from quantize.storage.sink import write_text

    to_stdout = output == Path("-")
    path = None if to_stdout else output or file.parent / "Modelfile"
    if path is not None and path.exists():
        raise UsageError(
            "modelfile-exists",
            "there is a Modelfile already",
            where=str(path),
            hint="give another name with --output, or - to print it",
        )
    folder = file.parent if path is None else path.parent
    text = api.modelfile_text(file, folder, options)
    if path is not None:
        write_text(path, text)
    elif not out.json:
        # Another program gets it as it is; a person may look.
        sys.stdout.write(shown(text) if sys.stdout.isatty() else text)
    out.show(modelfile_view(path), modelfile_events(path, text))
