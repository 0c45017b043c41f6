"""What the doctor says: a line for each finding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Column
from rich.text import Text

from quantize.cli.events.base import Event, FindingEvent
from quantize.cli.views.tables import plain_table
from quantize.ollama.doctor.diagnosis import Finding

_STYLES = {"fine": "green", "warning": "yellow", "error": "bold red"}


def findings_view(found: Sequence[Finding]) -> Iterator[RenderableType]:
    table = plain_table(
        Column(no_wrap=True), Column(no_wrap=True), Column(overflow="fold"), header=False
    )
    for finding in found:
        said = Text(finding.message)
        if finding.remedy:
            said.append(f"; try: {finding.remedy}", style="cyan")
        table.add_row(Text(finding.level, style=_STYLES[finding.level]), finding.check, said)
    yield table


def finding_events(found: Sequence[Finding]) -> Iterator[Event]:
    for finding in found:
        yield FindingEvent(
            event="finding",
            level=finding.level,
            check=finding.check,
            message=finding.message,
            remedy=finding.remedy,
        )
