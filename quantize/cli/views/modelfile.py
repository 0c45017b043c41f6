"""The Modelfile that was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from quantize.cli.events.base import Event, ModelfileEvent


def modelfile_view(path: Path | None) -> Iterator[RenderableType]:
    if path is not None:
        yield Text(str(path), style="bold")


def modelfile_events(path: Path | None, text: str) -> Iterator[Event]:
    yield ModelfileEvent(event="modelfile", path=None if path is None else str(path), text=text)
