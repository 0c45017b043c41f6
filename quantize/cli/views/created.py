"""A model that was made in Ollama, and what Ollama says of it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from quantize.cli.events.base import CreatedEvent, Event
from quantize.cli.views.tables import facts
from quantize.ollama.server.create import Created

_SHOWN = 200


def created_view(created: Created) -> Iterator[RenderableType]:
    yield Text.assemble((created.name, "bold green"), f" at {created.server}")
    length = "" if created.context_length is None else f"{created.context_length:,} tokens"
    rows = [
        ("capabilities", ", ".join(created.capabilities)),
        ("context", length),
        ("quantization", created.quantization),
    ]
    yield facts([(name, value) for name, value in rows if value])
    for one in created.differences:
        yield Text.assemble(
            ("differs", "bold red"), f"  {one.what}: {_cut(one.reported)}, meant {_cut(one.meant)}"
        )
    if not created.differences:
        yield ""
        yield Padding(Text(f"ollama run {created.name}", style="cyan"), (0, 0, 0, 2))


def _cut(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def created_events(created: Created) -> Iterator[Event]:
    yield CreatedEvent(
        event="created",
        name=created.name,
        server=created.server,
        capabilities=list(created.capabilities),
        context_length=created.context_length,
        quantization=created.quantization,
        differences=[
            {"what": one.what, "meant": one.meant, "reported": one.reported}
            for one in created.differences
        ],
    )
