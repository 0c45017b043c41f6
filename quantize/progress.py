"""How long work reports itself. The unit is always bytes; whoever watches decides how it looks."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What a watcher of one stage of work learns. Calls may come from any thread."""

    def start(self, stage: str, total: int) -> None:
        """A stage begins that will process `total` bytes of source data."""

    def advance(self, nbytes: int, item: str) -> None:
        """`nbytes` more bytes are done, of the tensor or file `item`."""

    def note(self, text: str) -> None:
        """Something worth telling a person, in one line."""

    def finish(self) -> None:
        """The stage is over, by success."""

    def alongside(self, stage: str, total: int) -> Progress:
        """A watcher of another stage, which begins now and goes on at the same time."""
        ...


class NullProgress:
    """The watcher that does not look."""

    def start(self, stage: str, total: int) -> None:
        pass

    def advance(self, nbytes: int, item: str) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def finish(self) -> None:
        pass

    def alongside(self, stage: str, total: int) -> Progress:
        return NullProgress()
