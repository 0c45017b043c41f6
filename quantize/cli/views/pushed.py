"""What is on the Hub now."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from quantize.cli.events.base import Event, PushedEvent
from quantize.cli.views.tables import facts
from quantize.publish.upload import Pushed


def pushed_view(done: Pushed) -> Iterator[RenderableType]:
    yield Text.assemble((done.repo, "bold"), f"  {done.url}")
    rows = [("commit", done.commit), ("uploaded", ", ".join(done.uploaded) or "nothing")]
    if done.unchanged:
        rows.append(("unchanged", ", ".join(done.unchanged)))
    yield facts(rows)


def pushed_events(done: Pushed) -> Iterator[Event]:
    yield PushedEvent(
        event="pushed",
        repo=done.repo,
        commit=done.commit,
        url=done.url,
        uploaded=list(done.uploaded),
        unchanged=list(done.unchanged),
    )
