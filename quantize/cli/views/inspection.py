"""What a file or checkpoint holds: key-values, then tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Column
from rich.text import Text

from quantize.api import InspectedTensor, Inspection
from quantize.cli.events.base import Event, InspectionEvent, KVEvent, TensorEvent
from quantize.cli.views.tables import grouped, number, plain_table, shape_text
from quantize.units import format_bytes, format_count

# Long enough for names and licenses; the beginning of a chat template tells which it is.
_VALUE_LENGTH = 100


def inspection_view(found: Inspection, *, every: bool) -> Iterator[RenderableType]:
    weights = format_count(sum(_weights(tensor) for tensor in found.tensors))
    head = f"  {found.kind}, {found.arch}, {weights} weights in {len(found.tensors)} tensors"
    yield Text.assemble((found.name, "bold"), head)
    yield ""
    yield _kv_table(found)
    yield ""
    yield _tensor_table(found.tensors, every=every)


def _weights(tensor: InspectedTensor) -> int:
    total = 1
    for size in tensor.shape:
        total *= size
    return total


def _kv_table(found: Inspection) -> RenderableType:
    table = plain_table(
        Column("key", no_wrap=True), Column("type", style="dim", no_wrap=True), Column("value")
    )
    for kv in found.kvs:
        table.add_row(Text(kv.key), kv.type.lower(), Text(value_text(kv.value)))
    return table


def _tensor_table(tensors: Sequence[InspectedTensor], *, every: bool) -> RenderableType:
    table = plain_table(
        Column("tensor", overflow="fold"),
        Column("" if every else "blocks", overflow="fold"),
        number("shape"),
        Column("type", style="cyan", no_wrap=True),
        number("size"),
    )
    for row in tensors if every else grouped(tensors):
        table.add_row(
            Text(row.name if isinstance(row, InspectedTensor) else row.pattern),
            "" if isinstance(row, InspectedTensor) else row.blocks,
            shape_text(row.shape),
            row.type,
            format_bytes(row.nbytes),
        )
    return table


def value_text(value: Any) -> str:
    """On one line, the beginning of what is long."""
    if isinstance(value, tuple):
        first = ", ".join(value_text(entry) for entry in value[:4])
        more = ", ..." if len(value) > 4 else ""
        return _shortened(f"{len(value)}: {first}{more}")
    if isinstance(value, float):
        # As many digits as a 32-bit float has.
        return f"{value:.7g}"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    return _shortened(repr(value) if isinstance(value, str) else str(value))


def _shortened(text: str) -> str:
    return text if len(text) <= _VALUE_LENGTH else f"{text[: _VALUE_LENGTH - 4]} ..."


def inspection_events(found: Inspection) -> Iterator[Event]:
    yield InspectionEvent(
        event="inspection",
        kind=found.kind,
        name=found.name,
        arch=found.arch,
        kvs=len(found.kvs),
        tensors=len(found.tensors),
    )
    for kv in found.kvs:
        yield KVEvent(event="kv", key=kv.key, type=kv.type, value=kv.value)
    for tensor in found.tensors:
        yield TensorEvent(
            event="tensor",
            name=tensor.name,
            shape=list(tensor.shape),
            type=tensor.type,
            nbytes=tensor.nbytes,
        )
