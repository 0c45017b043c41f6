"""A plan for people: tensors under their type and the reason for it, and what it all takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from rich.console import RenderableType
from rich.table import Column
from rich.text import Text

from quantize.api import Planned, SourceFacts
from quantize.cli.events.base import (
    Event,
    NeedsEvent,
    NoteEvent,
    PlanEvent,
    PlannedTensorEntry,
)
from quantize.cli.views.tables import facts, grouped, indented, number, plain_table, shape_text
from quantize.planning.plan import Plan, PlannedTensor
from quantize.units import format_bytes, format_count

# Lists of blocks are wrapped to no less than this.
_BLOCKS_WIDTH = 16


def plan_view(planned: Planned, *, every: bool) -> Iterator[RenderableType]:
    """All plans, by type and reason; with `every`, a line for each tensor in the file's order."""
    source = planned.source
    weights = format_count(source.n_params)
    yield Text.assemble((source.name, "bold"), f"  {source.arch}, {weights} weights")
    for plan in planned.plans:
        yield ""
        yield from _tensor_lines(plan.tensors) if every else _type_sections(plan.tensors)
        yield ""
        yield facts(_totals(plan))
    yield ""
    yield facts(
        [
            ("reads", f"{format_bytes(source.nbytes)} from {source.location}"),
            *downloads(source),
            ("memory", format_bytes(planned.needs.memory)),
            ("disk", format_bytes(planned.needs.disk)),
            *(("note", note) for note in planned.notes),
        ]
    )


def downloads(source: SourceFacts) -> Sequence[tuple[str, str]]:
    """What a conversion fetches first, if anything."""
    if not source.downloads:
        return ()
    size = format_bytes(sum(source.downloads.values()))
    return (("downloads", f"{size}: {', '.join(source.downloads)}"),)


def _totals(plan: Plan) -> Sequence[tuple[str, str]]:
    parts = [f"{name} {format_bytes(nbytes)}" for name, nbytes in plan.nbytes_by_type.items()]
    return (
        *_files(plan),
        ("size", f"{plan.size:,} bytes ({format_bytes(plan.size)})"),
        ("types", f"{plan.bits_per_weight:.2f} bits per weight: {', '.join(parts)}"),
    )


def _files(plan: Plan) -> Iterator[tuple[str, str]]:
    if len(plan.files) == 1:
        yield "file", plan.file_names[0]
        return
    for name, file in zip(plan.file_names, plan.files, strict=True):
        what = "1 tensor" if file.tensors == 1 else f"{file.tensors} tensors"
        yield "file", f"{name}: {what}, {format_bytes(file.size)}"


def _type_sections(tensors: Iterable[PlannedTensor]) -> Iterator[RenderableType]:
    sections: dict[tuple[str, str], list[PlannedTensor]] = {}
    for tensor in tensors:
        sections.setdefault((tensor.type, tensor.reason), []).append(tensor)
    rows = {
        heading: [
            (group.pattern, group.blocks, shape_text(group.shape), format_bytes(group.nbytes))
            for group in grouped(members)
        ]
        for heading, members in sections.items()
    }
    # One width for a column in all tables, so that they read as one.
    cells = list(zip(*chain(*rows.values()), strict=True))
    widths = [max(map(len, column)) for column in cells]
    for (kind, reason), section in rows.items():
        yield Text.assemble((kind, "bold cyan"), "  ", (reason, "dim"))
        table = plain_table(
            Column(overflow="fold", min_width=widths[0]),
            Column(overflow="fold", min_width=min(widths[1], _BLOCKS_WIDTH)),
            Column(justify="right", no_wrap=True, min_width=widths[2]),
            Column(justify="right", no_wrap=True, min_width=widths[3]),
            header=False,
        )
        for row in section:
            table.add_row(*map(Text, row))
        yield indented(table)


def _tensor_lines(tensors: Iterable[PlannedTensor]) -> Iterator[RenderableType]:
    table = plain_table(
        Column("tensor", overflow="fold"),
        number("shape"),
        Column("type", style="cyan", no_wrap=True),
        number("size"),
        Column("why", style="dim"),
    )
    for tensor in tensors:
        table.add_row(
            Text(tensor.name),
            shape_text(tensor.shape),
            tensor.type,
            format_bytes(tensor.nbytes),
            Text(tensor.reason),
        )
    yield table


def plan_events(planned: Planned) -> Iterator[Event]:
    for plan in planned.plans:
        yield PlanEvent(
            event="plan",
            name=plan.name,
            arch=plan.arch,
            type=plan.recipe_name,
            file=plan.file_names[0],
            size=plan.size,
            files={name: file.size for name, file in zip(plan.file_names, plan.files, strict=True)},
            n_params=plan.n_params,
            bits_per_weight=plan.bits_per_weight,
            nbytes_by_type=dict(plan.nbytes_by_type),
            digest=plan.digest,
            tensors=list(_entries(plan)),
        )
    for note in planned.notes:
        yield NoteEvent(event="note", text=note)
    yield NeedsEvent(
        event="needs",
        source=planned.source.nbytes,
        downloads=dict(planned.source.downloads),
        memory=planned.needs.memory,
        disk=planned.needs.disk,
    )


def _entries(plan: Plan) -> Iterator[PlannedTensorEntry]:
    tensors = iter(plan.tensors)
    for name, file in zip(plan.file_names, plan.files, strict=True):
        for tensor in islice(tensors, file.tensors):
            yield _entry(tensor, name, file.start)


def _entry(tensor: PlannedTensor, file: str, start: int) -> PlannedTensorEntry:
    return PlannedTensorEntry(
        name=tensor.name,
        shape=list(tensor.shape),
        type=tensor.type,
        reason=tensor.reason,
        file=file,
        offset=tensor.offset - start,
        nbytes=tensor.nbytes,
    )
