"""The command `perplexity`."""

from __future__ import annotations

from pathlib import Path

from quantize.cli import options as opt
from quantize.cli.command import command
from quantize.cli.output import Printer


@command()
def perplexity(
    out: Printer,
    file: opt.GGUF,
    *,
    text: opt.Text,
    base: opt.BaseFile = None,
    context: opt.ChunkContext = 512,
    chunks: opt.Chunks = None,
    jobs: opt.Threads = None,
) -> None:
    """Measure how well a GGUF file predicts a text, and how far it is from its base.

    llama.cpp itself computes, which comes with the extra `eval`. Perplexity, KL divergence and
    their uncertainties are those of its own tool: docs/quality.md explains them.
    """
    from quantize import api
    from quantize.cli.views.perplexity import perplexity_events, perplexity_view

    with out.progress() as progress:
        found = api.perplexity(
            Path(file), text, base, progress, context=context, chunks=chunks, jobs=jobs
        )
    out.show(perplexity_view(found), perplexity_events(found))
