"""The command `verify`."""

from __future__ import annotations

from pathlib import Path

from quantize.cli import options as opt
from quantize.cli.command import command
from quantize.cli.output import Printer
from quantize.options import VerifyOptions


@command()
def verify(
    out: Printer,
    file: opt.GGUF,
    options: VerifyOptions,
    *,
    source: opt.FromSource = None,
    sample: opt.Sample = None,
) -> None:
    """Check that a GGUF file is whole, and what it should be.

    Its structure is checked, then its digests if manifest.json is next to it. With --source its
    tensors are made again and compared. Anything wrong ends in exit code 8 and names the tensor.
    """
    from quantize import api
    from quantize.cli.views.verified import verified_events, verified_view

    with out.progress() as progress:
        found = api.verify(Path(file), source, options, progress, sample=sample)
    out.show(verified_view(found), verified_events(found))
