"""The summary that closes a conversion, with the next command to run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from quantize.api import Converted
from quantize.cli.events.base import ConvertedEvent, Event, FileEvent
from quantize.cli.events.compare import ReportEvent
from quantize.cli.reports import report_paths
from quantize.cli.scale import cosine, decibels, percent
from quantize.cli.views.comparison_events import measures
from quantize.cli.views.tables import indented, number, plain_table
from quantize.measuring.grouped import total
from quantize.units import format_bytes, format_seconds

_OLLAMA_NAME_LENGTH = 80


def converted_view(done: Converted) -> Iterator[RenderableType]:
    speed = format_bytes(done.source.nbytes / max(done.seconds, 1e-9))
    how = f" in {format_seconds(done.seconds)}, {speed}/s, {done.kernels} kernels"
    yield Text.assemble(("done", "bold green"), how)
    yield ""
    table = plain_table(
        Column(overflow="fold", style="bold"), number("size"), number("bits"), header=False
    )
    for file in done.files:
        for one in file.files:
            table.add_row(
                Text(str(one.path)),
                format_bytes(one.size),
                f"{file.bits_per_weight:.2f} bits per weight",
            )
    for path in (*done.modelfiles, done.manifest):
        table.add_row(Text(str(path), style="not bold"), "", "")
    yield indented(table)
    yield ""
    if done.reports:
        yield indented(_reports(done))
        yield ""
    for line in ollama_lines(done):
        yield Padding(Text(line, style="cyan"), (0, 0, 0, 2))


def _reports(done: Converted) -> Table:
    """What each file lost, and where more about it is."""
    table = plain_table(
        Column("report", overflow="fold"),
        number("error"),
        number("SNR"),
        number("cosine"),
        number("measured"),
    )
    for file, found in zip(done.files, done.reports, strict=True):
        everything = total(found.measured)
        quality = everything.quality
        table.add_row(
            Text(str(report_paths(file.path)[0])),
            "exact" if quality.exact else percent(quality),
            decibels(quality),
            cosine(quality),
            f"{100 * everything.measured / everything.weights:.3g} %",
        )
    return table


def ollama_lines(done: Converted) -> list[str]:
    """The `ollama create` line of each file."""
    models = ollama_models(done, ollama_name(done.source.name))
    return [f"ollama create {model} -f {shlex.quote(str(path))}" for model, path in models]


def ollama_models(done: Converted, name: str) -> Iterator[tuple[str, Path]]:
    """What each file is called in Ollama, and its Modelfile.

    The first takes the name as it is, others their type as a tag. Without Modelfiles, none.
    """
    for index, file in enumerate(done.files if done.modelfiles else ()):
        # The first Modelfile is the first type's; with several types, each has its own besides.
        path = done.modelfiles[0 if index == 0 else index + 1]
        yield (name if index == 0 else f"{name.partition(':')[0]}:{file.type.lower()}"), path


def ollama_name(name: str) -> str:
    """A name that Ollama takes: letters, digits, "_.-", 80 of them, the first no sign."""
    kept = re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-.")
    return kept[:_OLLAMA_NAME_LENGTH].rstrip("-.") or "model"


def converted_events(done: Converted) -> Iterator[Event]:
    for file in done.files:
        for one in file.files:
            yield FileEvent(
                event="file",
                path=str(one.path),
                type=file.type,
                size=one.size,
                bits_per_weight=file.bits_per_weight,
                sha256=one.sha256,
            )
    for file, found in zip(done.files, done.reports, strict=bool(done.reports)):
        everything = total(found.measured)
        html, document = report_paths(file.path)
        yield ReportEvent(
            event="report",
            path=str(file.path),
            n_params=everything.weights,
            html=str(html),
            json=str(document),
            **measures(everything.quality, everything.measured),
        )
    yield ConvertedEvent(
        event="converted",
        name=done.source.name,
        modelfiles=[str(path) for path in done.modelfiles],
        manifest=str(done.manifest),
        seconds=done.seconds,
        kernels=done.kernels,
    )
