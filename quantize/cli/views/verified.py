"""What was checked of a file that is fine."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from quantize.cli.events.base import Event, VerifiedEvent
from quantize.cli.views.tables import facts
from quantize.verbs.verify import Verified


def verified_view(found: Verified) -> Iterator[RenderableType]:
    yield Text.assemble((found.path.name, "bold"), "  is whole" if found.doubts else "  is fine")
    manifest = "every digest is right" if found.by_manifest else "there is none next to the file"
    source = "not given" if found.compared is None else f"{found.compared} tensors made again"
    yield facts(
        [
            ("structure", f"{found.tensors} tensors, whole and finite"),
            ("manifest", manifest),
            ("source", source),
            *(("but", doubt) for doubt in found.doubts),
        ]
    )


def verified_events(found: Verified) -> Iterator[Event]:
    yield VerifiedEvent(
        event="verified",
        path=str(found.path),
        tensors=found.tensors,
        by_manifest=found.by_manifest,
        compared=found.compared,
        doubts=list(found.doubts),
    )
