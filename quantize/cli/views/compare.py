"""A comparison for people: totals, the worst tensors, what differs otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column
from rich.text import Text

from quantize.cli.scale import (
    broken,
    cosine,
    decibels,
    largest,
    percent,
    position,
)
from quantize.cli.views.differences import kv_texts, shape_texts
from quantize.cli.views.tables import facts, number, plain_table
from quantize.execution.error_sums import TensorQuality
from quantize.measuring.grouped import MeasuredTensor, Total, total, totals
from quantize.units import format_bytes, format_count
from quantize.verbs.common.comparison import Comparison, SideFacts

_WORST = 10
_BAR = 12
_STYLES = ("green", "green", "yellow", "red")


def compare_view(found: Comparison, html: Path | None, *, every: bool) -> Iterator[RenderableType]:
    """Totals by type and kind, the worst tensors or `every` one, then the differences."""
    everything = total(found.measured)
    yield Text.assemble(
        (found.other.name, "bold"), "  against ", (found.reference.name, "bold"), ", the reference"
    )
    page = [] if html is None else [("page", str(html))]
    yield facts([*_facts(found, everything.quality), *page])
    yield ""
    yield _totals_table("type", totals(found.measured, lambda tensor: tensor.type))
    yield ""
    kinds = totals(found.measured, lambda tensor: tensor.kind)
    differing = {kind: one for kind, one in kinds.items() if not one.quality.exact}
    if differing:
        yield _totals_table("kind", differing)
        exact = [kind for kind in kinds if kind not in differing]
        yield Text(f"exact: {', '.join(exact)}" if exact else "", style="dim")
        yield ""
    worst = sorted(found.measured, key=lambda tensor: -tensor.quality.severity)
    worst = worst if every else [one for one in worst if not one.quality.exact][:_WORST]
    if worst:
        yield _tensor_table("tensor" if every else "worst tensors", worst)
    else:
        yield Text("No measured value differs.", style="green")
    yield from _differences(found)


def _facts(found: Comparison, quality: TensorQuality) -> Iterator[tuple[str, str]]:
    parts = (
        f"{percent(quality)} relative RMS",
        decibels(quality),
        f"cosine {cosine(quality)}",
        f"largest {largest(quality)}",
    )
    yield "error", "none" if quality.exact else ", ".join(filter(None, parts))
    if broken(quality):
        yield "broken", broken(quality)
    exact = sum(tensor.quality.exact for tensor in found.measured)
    count = f"{len(found.measured)} of {found.comparable}"
    yield "measured", f"{count} tensors, {exact} of them exact"
    for name, side in (("reference", found.reference), ("other", found.other)):
        yield name, f"{_side_text(side)}, {side.location}"


def _side_text(side: SideFacts) -> str:
    return (
        f"{side.kind}, {side.arch}, {format_count(side.n_params)} weights, "
        f"{format_bytes(side.nbytes)}, {side.bits_per_weight:.2f} bits per weight"
    )


def _totals_table(name: str, rows: Mapping[str, Total]) -> RenderableType:
    table = plain_table(
        Column(name, style="cyan", no_wrap=True),
        number("tensors"),
        number("weights"),
        *_quality_columns(),
    )
    for key, found in sorted(rows.items(), key=lambda row: -row[1].quality.severity):
        table.add_row(
            Text(key),
            str(found.tensors),
            format_count(found.weights),
            *_quality_cells(found.quality),
        )
    return table


def _tensor_table(title: str, tensors: Sequence[MeasuredTensor]) -> RenderableType:
    table = plain_table(
        Column(title, no_wrap=True),
        Column("reference", style="dim", no_wrap=True),
        Column("type", style="cyan", no_wrap=True),
        *_quality_columns(),
    )
    for tensor in tensors:
        table.add_row(
            Text(tensor.name),
            tensor.reference_type,
            tensor.type,
            *_quality_cells(tensor.quality),
        )
    return table


def _quality_columns() -> Iterator[Column]:
    yield from (number("error"), number("SNR"), number("cosine"), number("largest"))
    yield Column("")  # the only one that gives way in a narrow terminal


def _quality_cells(quality: TensorQuality) -> Iterator[RenderableType]:
    yield "exact" if quality.exact else percent(quality)
    yield decibels(quality)
    yield cosine(quality)
    yield largest(quality)
    words = broken(quality)
    yield Text(words, style="bold red") if words else _Bar(quality.relative_rms)


class _Bar:
    """A relative error on the scale, in a terminal only."""

    def __init__(self, relative: float | None) -> None:
        self.place = 1.0 if relative is None else position(relative)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        style = _STYLES[min(int(self.place * len(_STYLES)), len(_STYLES) - 1)]
        room = min(_BAR, options.max_width) if console.is_terminal else 0
        yield Text("━" * round(self.place * room), style=style)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(0, _BAR if console.is_terminal else 0)


def _differences(found: Comparison) -> Iterator[RenderableType]:
    if found.tensors:
        yield ""
        rows = [(one.name, *shape_texts(one)) for one in found.tensors]
        yield _differences_table("not comparable", rows)
    if found.kvs:
        yield ""
        yield _differences_table("key-value", [(one.key, *kv_texts(one)) for one in found.kvs])


def _differences_table(name: str, rows: Sequence[tuple[str, str, str]]) -> RenderableType:
    table = plain_table(
        Column(name, overflow="fold"),
        Column("reference", overflow="fold"),
        Column("other", overflow="fold"),
    )
    for row in rows:
        table.add_row(*map(Text, row))
    return table
