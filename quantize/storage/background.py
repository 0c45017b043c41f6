"""Threads that the end of the program does not wait for.

Those of concurrent.futures are joined at exit: an interrupted run would wait for every connection
that is just waiting for the network.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


class Background:
    """`threads` daemons that do what is submitted, in that order."""

    def __init__(self, threads: int, name: str) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, action: Callable[[], Result]) -> Future[Result]:
        future: Future[Result] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = action()
            except BaseException as error:  # noqa: BLE001 - whoever waits for the result raises it
                future.set_exception(error)
            else:
                future.set_result(result)

        self._queue.put(run)
        return future

    def close(self) -> None:
        """End after what is submitted already; nobody waits for it."""
        for _ in self._threads:
            self._queue.put(None)

    def _run(self) -> None:
        while (step := self._queue.get()) is not None:
            step()
