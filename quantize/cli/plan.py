"""The command `plan`."""

from __future__ import annotations

from quantize.cli import options as opt
from quantize.cli.output import session
from quantize.units import parse_size


def plan(  # noqa: PLR0913 (one for each option)
    source: opt.Source,
    *,
    types: opt.PlannedTypes = [],  # noqa: B006 (Typer copies it)
    fits: opt.Fits = None,
    context: opt.Context = None,
    imatrix: opt.Imatrix = None,
    keep_grid: opt.KeepGrid = False,
    lora: opt.Lora = [],  # noqa: B006 (as above)
    adapter_only: opt.AdapterOnly = False,
    base: opt.Base = None,
    name: opt.Name = None,
    arch: opt.Arch = None,
    pre: opt.Pre = None,
    token: opt.Token = None,
    jobs: opt.Jobs = None,
    max_memory: opt.MaxMemory = None,
    every: opt.All = False,
    json: opt.Json = False,
) -> None:
    """Say what `convert` would write: all types beside each other, or those of --type in detail.

    Headers and small files are read, no weights. No more than that is fetched from the Hub.
    """
    with session(json=json) as out:
        from quantize import api
        from quantize.cli.views.overview import overview_events, overview_view
        from quantize.cli.views.plan import plan_events, plan_view

        options = api.Options(
            types=tuple(types) or ("auto",),
            imatrix=imatrix,
            keep_grid=keep_grid,
            lora=tuple(lora),
            adapter_only=adapter_only,
            base=base,
            name=name,
            arch=arch,
            pre=pre,
            token=token,
            jobs=jobs,
            max_memory=None if max_memory is None else parse_size(max_memory),
        )
        if not types and not every and not adapter_only:
            limit = None if fits is None else parse_size(fits)
            found = api.overview(source, options, context=context, limit=limit)
            out.show(overview_view(*found), overview_events(*found))
            return
        planned = api.plan(source, options)
        out.show(plan_view(planned, every=every), plan_events(planned))
