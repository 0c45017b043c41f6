"""An importance matrix: how much it saw, and what matters most and least."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Column, Table
from rich.text import Text

from quantize.cli.events.base import Event
from quantize.cli.events.imatrix import ImatrixEvent, ImportanceEvent, ImportantColumn
from quantize.cli.views.tables import facts, indented, number, plain_table
from quantize.formats.imatrix_summary import Column as ImatrixColumn
from quantize.formats.imatrix_summary import Summary, TensorSummary
from quantize.tensors import BLOCK

_SHOWN = 5


def imatrix_view(found: Summary, *, every: bool) -> Iterator[RenderableType]:
    """Tensors with the same inputs are one row, for the matrix says the same of them."""
    yield Text.assemble((found.imatrix.file.name, "bold"), f"  {len(found.tensors)} tensors")
    yield facts(list(_facts(found)))
    inputs = _inputs(found.tensors)
    if every:
        yield ""
        yield _tensor_table(inputs)
        return
    ranked = sorted(inputs, key=lambda row: -row[1].mean)
    yield from _section("most important tensors", ranked[:_SHOWN])
    yield from _section("least important tensors", ranked[_SHOWN:][-_SHOWN:])
    yield from _column_sections(inputs)


def _facts(found: Summary) -> Iterator[tuple[str, str]]:
    imatrix = found.imatrix
    chunks = f"{imatrix.chunks:,} chunks" if imatrix.chunks else "unknown"
    size = f" of {imatrix.chunk_size} tokens" if imatrix.chunk_size else ""
    yield "text", ", ".join((*imatrix.datasets, f"{chunks}{size}"))
    share = 100 * found.active / found.columns
    yield "coverage", f"{found.active:,} of {found.columns:,} columns ({share:.4g} %) are active"
    if found.experts:
        unseen = f"{found.unseen} of" if found.unseen else "none of"
        yield "experts", f"{unseen} {found.experts} matrices were never seen"
    yield "format", imatrix.format


def _inputs(tensors: Sequence[TensorSummary]) -> list[tuple[str, TensorSummary]]:
    """One of each group of tensors of a block with the same values, under all their names."""
    groups: dict[tuple[str, str], list[TensorSummary]] = {}
    for tensor in tensors:
        block = BLOCK.match(tensor.name)
        groups.setdefault((block[0] if block else "", tensor.entry.digest), []).append(tensor)
    return [
        (block + ", ".join(_short(tensor.name, block) for tensor in members), members[0])
        for (block, _), members in groups.items()
    ]


def _short(name: str, block: str) -> str:
    return name.removeprefix(block).removesuffix(".weight")


def _section(title: str, rows: Sequence[tuple[str, TensorSummary]]) -> Iterator[RenderableType]:
    if rows:
        yield ""
        yield Text(title, style="bold cyan")
        yield indented(_tensor_table(rows))


def _tensor_table(rows: Sequence[tuple[str, TensorSummary]]) -> Table:
    table = plain_table(
        Column("tensor", overflow="fold"),
        number("columns"),
        number("active"),
        number("mean"),
        number("largest"),
    )
    for name, tensor in rows:
        table.add_row(
            Text(name),
            f"{tensor.columns:,}",
            f"{100 * tensor.active / tensor.columns:.4g} %",
            f"{tensor.mean:.4g}",
            f"{tensor.entry.largest:.4g}",
        )
    return table


def _column_sections(inputs: Sequence[tuple[str, TensorSummary]]) -> Iterator[RenderableType]:
    most = [_row(name, tensor, column) for name, tensor in inputs for column in tensor.most]
    least = [_row(name, tensor, column) for name, tensor in inputs for column in tensor.least]
    for title, rows in (
        ("most important columns", sorted(most, key=lambda row: -row[3])[:_SHOWN]),
        ("least important columns", sorted(least, key=lambda row: row[3])[:_SHOWN]),
    ):
        table = plain_table(
            Column("tensor", overflow="fold"), number("column"), number("value"), number("x mean")
        )
        for name, place, value, ratio in rows:
            table.add_row(Text(name), place, f"{value:.4g}", f"{ratio:.4g}")
        yield ""
        yield Text(title, style="bold cyan")
        yield indented(table)


def _row(name: str, tensor: TensorSummary, column: ImatrixColumn) -> tuple[str, str, float, float]:
    """A column relative to the mean of its tensor: how much more its weights count there."""
    place = str(column.index) if column.expert is None else f"{column.expert}:{column.index}"
    return name, place, column.value, column.value / tensor.mean if tensor.mean else 0.0


def imatrix_events(found: Summary) -> Iterator[Event]:
    imatrix = found.imatrix
    yield ImatrixEvent(
        event="imatrix",
        path=str(imatrix.file),
        sha256=imatrix.sha256,
        format=imatrix.format,
        tensors=len(found.tensors),
        chunks=imatrix.chunks,
        chunk_size=imatrix.chunk_size,
        datasets=list(imatrix.datasets),
        columns=found.columns,
        active=found.active,
        experts=found.experts,
        unseen=found.unseen,
    )
    for tensor in found.tensors:
        yield ImportanceEvent(
            event="importance",
            name=tensor.name,
            columns=tensor.columns,
            active=tensor.active,
            counts=list(tensor.entry.counts),
            mean=tensor.mean,
            most=[_entry(column) for column in tensor.most],
            least=[_entry(column) for column in tensor.least],
        )


def _entry(column: ImatrixColumn) -> ImportantColumn:
    return ImportantColumn(expert=column.expert, column=column.index, importance=column.value)
