"""All types of one model in a table, and the one that fits."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Column
from rich.text import Text

from quantize.api import SourceFacts
from quantize.cli.events.base import Event, FitsEvent, OverviewEvent, SizeEvent
from quantize.cli.views.plan import downloads
from quantize.cli.views.tables import facts, number, plain_table
from quantize.measuring.overview import Overview
from quantize.units import format_bytes, format_count, format_seconds


def overview_view(source: SourceFacts, found: Overview) -> Iterator[RenderableType]:
    weights = format_count(source.n_params)
    yield Text.assemble((source.name, "bold"), f"  {source.arch}, {weights} weights")
    yield ""
    table = plain_table(
        Column("type", no_wrap=True),
        number("size"),
        number("bits per weight"),
        number("memory"),
        number("time"),
        Column("what"),
    )
    for row in found.rows:
        is_chosen = row == found.fits
        table.add_row(
            Text(row.type, style="bold green" if is_chosen else "cyan"),
            format_bytes(row.size),
            f"{row.bits_per_weight:.2f}",
            format_bytes(row.memory),
            format_seconds(row.seconds),
            Text(row.description, style="dim"),
        )
    yield table
    yield ""
    yield facts(list(_facts(source, found)))


def _facts(source: SourceFacts, found: Overview) -> Iterator[tuple[str, str]]:
    if found.fits is not None and found.limit is not None:
        limit = format_bytes(found.limit)
        yield "fits", f"{found.fits.type} is the best type that fits into {limit}"
    context_nbytes = format_bytes(found.context_memory)
    yield "memory", f"weights, and {context_nbytes} for a context of {found.context:,} tokens"
    yield "time", "of quantizing on this machine, measured on a sample"
    yield "reads", f"{format_bytes(source.nbytes)} from {source.location}"
    yield from downloads(source)


def overview_events(source: SourceFacts, found: Overview) -> Iterator[Event]:
    for row in found.rows:
        yield SizeEvent(
            event="size",
            type=row.type,
            size=row.size,
            bits_per_weight=row.bits_per_weight,
            memory=row.memory,
            seconds=row.seconds,
        )
    if found.fits is not None and found.limit is not None:
        yield FitsEvent(
            event="fits", type=found.fits.type, memory=found.fits.memory, limit=found.limit
        )
    yield OverviewEvent(
        event="overview",
        name=source.name,
        arch=source.arch,
        n_params=source.n_params,
        repo=source.repo,
        commit=source.commit,
        source=source.nbytes,
        downloads=dict(source.downloads),
        context=found.context,
        context_memory=found.context_memory,
    )
