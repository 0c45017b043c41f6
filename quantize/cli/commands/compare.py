"""The command `compare`."""

from __future__ import annotations

from quantize.cli import options as opt
from quantize.cli.command import command
from quantize.cli.output import Printer
from quantize.options import CompareOptions


@command()
def compare(
    out: Printer,
    reference: opt.Reference,
    other: opt.Other,
    options: CompareOptions,
    *,
    sample: opt.MeasuredSample = None,
    fail_above: opt.FailAbove = None,
    every: opt.All = False,
    html: opt.Html = None,
) -> None:
    """Show what a model lost against another: what differs, and how much in which tensor.

    REFERENCE is taken as right, and errors are relative to it. A checkpoint is compared as the
    GGUF file that it would become. Differences are not a failure, unless --fail-above says so.
    """
    from quantize import api
    from quantize.cli.html.page import page
    from quantize.cli.views.compare import compare_view
    from quantize.cli.views.comparison_events import compare_events
    from quantize.storage.sink import check_folder, write_text
    from quantize.verbs.compare import check_within

    if html is not None:
        # A page that cannot be written is refused before the work, not after it.
        check_folder(html.parent, 0)
    with out.progress() as progress:
        found = api.compare(reference, other, options, progress, sample=sample)
    if html is not None:
        write_text(html, page(found))
    out.show(compare_view(found, html, every=every), compare_events(found, html))
    if fail_above is not None:
        check_within(found, fail_above / 100)
