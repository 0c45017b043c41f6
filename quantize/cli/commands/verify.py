"""The command `verify`."""

from __future__ import annotations

from pathlib import Path

from quantize.cli import options as opt
from quantize.cli.output import session
from quantize.units import parse_size


def verify(  # noqa: PLR0913 (one for each option)
    file: opt.GGUF,
    *,
    source: opt.FromSource = None,
    lora: opt.FromLora = [],  # noqa: B006 (Typer copies it)
    base: opt.FromBase = None,
    imatrix: opt.FromImatrix = None,
    sample: opt.Sample = None,
    token: opt.Token = None,
    jobs: opt.Jobs = None,
    max_memory: opt.MaxMemory = None,
    kernels: opt.Kernels = opt.KernelSet.AUTO,
    quiet: opt.Quiet = False,
    json: opt.Json = False,
) -> None:
    """Check that a GGUF file is whole, and what it should be.

    Its structure is checked, then its digests if manifest.json lies beside it. With --source its
    tensors are made again and compared. Anything wrong ends in exit code 8 and names the tensor.
    """
    with session(json=json, quiet=quiet) as out:
        from quantize.api import Options
        from quantize.cli.views.verified import verified_events, verified_view
        from quantize.verbs.verify import verify

        options = Options(
            lora=tuple(lora),
            base=base,
            imatrix=imatrix,
            token=token,
            jobs=jobs,
            max_memory=None if max_memory is None else parse_size(max_memory),
            kernels=kernels.value,
        )
        with out.progress() as progress:
            found = verify(Path(file), source, options, progress, sample=sample)
        out.show(verified_view(found), verified_events(found))
