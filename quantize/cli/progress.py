"""Three watchers of work: a bar for a terminal, lines for a log, events for a program."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from quantize.cli.events.base import Event, FinishEvent, NoteEvent, ProgressEvent, StartEvent
from quantize.units import format_bytes, format_seconds

_EVENT_SECONDS = 0.5
_LINE_SECONDS = 10.0
_LINE_PERCENT = 10


class BarProgress:
    """Bars with bytes, speed and time left, and what is at work on a line of its own.

    Stages at the same time share one display, which the terminal has room for.
    """

    def __init__(self, console: Console, bars: _Bars | None = None) -> None:
        self._console = console
        self._bars = bars or _Bars(console)
        self._stage: TaskID | None = None

    def start(self, stage: str, total: int) -> None:
        self._stage = self._bars.add_task(stage, total=total, item="")
        self._bars.start()

    def advance(self, nbytes: int, item: str) -> None:
        if self._stage is not None:
            self._bars.update(self._stage, advance=nbytes, item=item)

    def note(self, text: str) -> None:
        self._console.print(text)

    def finish(self) -> None:
        if self._stage is None:
            return
        if len(self._bars.tasks) == 1:
            self._bars.stop()
        self._bars.remove_task(self._stage)
        self._stage = None

    def alongside(self, stage: str, total: int) -> BarProgress:
        other = BarProgress(self._console, self._bars)
        other.start(stage, total)
        return other

    def close(self) -> None:
        """Give the terminal back, whatever is going on."""
        self._bars.stop()


class _Bars(RichProgress):
    def __init__(self, console: Console) -> None:
        super().__init__(
            SpinnerColumn(finished_text="[green]*[/]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            _Bytes(),
            _Speed(),
            _Left(),
            console=console,
            expand=True,
            transient=True,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        items = [Text(f"  {task.fields['item']}", style="dim") for task in self.tasks]
        for item in items:
            item.truncate(self.console.width, overflow="ellipsis")
        yield Group(self.make_tasks_table(self.tasks), *items)


class _Bytes(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{format_bytes(task.completed)} of {format_bytes(task.total or 0)}")


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{format_bytes(speed)}/s" if speed else "", style="cyan")


class _Left(ProgressColumn):
    # Once a second: a figure that flickers cannot be read.
    max_refresh = 1.0

    def render(self, task: Task) -> Text:
        left = task.time_remaining
        return Text(f"{format_seconds(left)} left" if left else "", style="magenta")


class LineProgress:
    """A line at each tenth of the work, and between them when ten seconds have passed."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._lock = threading.Lock()
        self._stage, self._total, self._done = "", 0, 0
        self._started = self._printed = 0.0
        self._percent = 0

    def start(self, stage: str, total: int) -> None:
        self._stage, self._total, self._done, self._percent = stage, total, 0, 0
        self._started = self._printed = self._clock()
        self._console.print(f"{stage}: {format_bytes(total)}")

    def advance(self, nbytes: int, item: str) -> None:
        with self._lock:
            self._done += nbytes
            percent = 100 * self._done // max(self._total, 1)
            now = self._clock()
            is_next = percent // _LINE_PERCENT > self._percent // _LINE_PERCENT
            if is_next or now - self._printed >= _LINE_SECONDS:
                self._percent, self._printed = percent, now
                self._console.print(
                    f"{self._stage}: {percent}%, {format_bytes(self._done)}, "
                    f"{format_seconds(now - self._started)}, {item}"
                )

    def note(self, text: str) -> None:
        self._console.print(text)

    def finish(self) -> None:
        seconds = format_seconds(self._clock() - self._started)
        self._console.print(f"{self._stage}: done in {seconds}")

    def alongside(self, stage: str, total: int) -> LineProgress:
        other = LineProgress(self._console, self._clock)
        other.start(stage, total)
        return other


class EventProgress:
    """An event at the start and end of each stage, and at most two a second between."""

    def __init__(
        self, send: Callable[[Event], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._send = send
        self._clock = clock
        self._lock = threading.Lock()
        self._stage, self._total, self._done = "", 0, 0
        self._sent = 0.0

    def start(self, stage: str, total: int) -> None:
        self._stage, self._total, self._done = stage, total, 0
        self._sent = self._clock()
        self._send(StartEvent(event="start", stage=stage, total=total))

    def advance(self, nbytes: int, item: str) -> None:
        with self._lock:
            self._done += nbytes
            now = self._clock()
            if now - self._sent >= _EVENT_SECONDS:
                self._sent = now
                self._send(
                    ProgressEvent(
                        event="progress",
                        stage=self._stage,
                        done=self._done,
                        total=self._total,
                        item=item,
                    )
                )

    def note(self, text: str) -> None:
        with self._lock:
            self._send(NoteEvent(event="note", text=text))

    def finish(self) -> None:
        self._send(FinishEvent(event="finish", stage=self._stage, done=self._done))

    def alongside(self, stage: str, total: int) -> EventProgress:
        other = EventProgress(self._send, self._clock)
        other.start(stage, total)
        return other
