"""The command `plan`."""

from __future__ import annotations

from quantize.cli import options as opt
from quantize.cli.output import session
from quantize.units import parse_size


def plan(  # noqa: PLR0913 (one for each option)
    source: opt.Source,
    *,
    types: opt.Types = ["auto"],  # noqa: B006 (Typer copies it)
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
    """Say what `convert` would write: types and why, exact sizes, memory and disk.

    Headers and small files are read, no weights; of a repository of the Hub, just these are fetched.
    """
    with session(json=json) as out:
        from quantize import api
        from quantize.cli.views.plan import plan_events, plan_view

        options = api.Options(
            types=tuple(types),
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
        planned = api.plan(source, options)
        out.show(plan_view(planned, every=every), plan_events(planned))
