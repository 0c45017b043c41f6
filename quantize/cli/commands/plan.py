"""The command `plan`."""

from __future__ import annotations

from quantize.cli import options as opt
from quantize.cli.command import command
from quantize.cli.output import Printer
from quantize.options import PlanOptions
from quantize.units import parse_size


@command(
    quiet=False,
    helps={"types": "In detail: tensors, types and why. Without it, all types in a table."},
)
def plan(
    out: Printer,
    source: opt.Source,
    options: PlanOptions,
    *,
    fits: opt.Fits = None,
    context: opt.Context = None,
    every: opt.All = False,
) -> None:
    """Say what `convert` would write: all types next to each other, or those of --type in detail.

    Headers and small files are read; with --target-size or --bits also some of the weights. No
    more than that is fetched from the Hub.
    """
    from quantize import api
    from quantize.cli.views.overview import overview_events, overview_view
    from quantize.cli.views.plan import plan_events, plan_view

    budget = options.target_size or options.bits
    if not (options.types or options.recipe or budget or every or options.adapter_only):
        limit = None if fits is None else parse_size(fits)
        found = api.overview(source, options, context=context, limit=limit)
        out.show(overview_view(*found), overview_events(*found))
        return
    with out.progress() as progress:
        planned = api.plan(source, options, progress)
    out.show(plan_view(planned, every=every), plan_events(planned))
