"""The two lists of what is supported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Column
from rich.text import Text

from quantize.cli.events.base import ArchitectureEvent, Event, TypeEvent
from quantize.cli.views.tables import plain_table
from quantize.recipes import FileType


def types_view(rows: Sequence[FileType]) -> Iterator[RenderableType]:
    table = plain_table(Column("type", style="bold cyan", no_wrap=True), Column("what"))
    for row in rows:
        table.add_row(row.name, Text(row.description))
    yield table


def type_events(rows: Sequence[FileType]) -> Iterator[Event]:
    for row in rows:
        yield TypeEvent(
            event="type",
            name=row.name,
            id=row.id,
            description=row.description,
            aliases=list(row.aliases),
        )


def architectures_view(rows: Mapping[str, str]) -> Iterator[RenderableType]:
    """One row for each GGUF architecture, with all names that become it."""
    names: dict[str, list[str]] = {}
    for name, arch in rows.items():
        names.setdefault(arch, []).append(name)
    table = plain_table(Column("GGUF", style="bold cyan", no_wrap=True), Column("config.json"))
    for arch in sorted(names):
        table.add_row(arch, ", ".join(names[arch]))
    yield table
    yield f"\n{len(rows)} names, all verified: the files are those that llama.cpp makes."


def architecture_events(rows: Mapping[str, str]) -> Iterator[Event]:
    for name, arch in rows.items():
        yield ArchitectureEvent(event="architecture", name=name, arch=arch, status="verified")
