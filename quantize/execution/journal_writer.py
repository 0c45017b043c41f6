"""Finished tasks go into the journals in batches: syncing the data is the slow part."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence

from quantize.errors import DiskError
from quantize.execution.journal import Journal
from quantize.execution.worker import Qualities
from quantize.planning.plan import Task

INTERVAL = 1.0  # seconds of work that a power cut may cost


class Recorder:
    """A thread that lists finished tasks in all `journals`."""

    def __init__(self, journals: Sequence[Journal]) -> None:
        self._journals = journals
        self._lock = threading.Lock()
        self._finished: list[tuple[Task, Qualities]] = []
        self._failed: DiskError | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def add(self, task: Task, qualities: Qualities) -> None:
        """`task` has been written with these qualities.

        Raises DiskError if recording earlier ones has failed.
        """
        if self._failed is not None:
            raise self._failed
        with self._lock:
            self._finished.append((task, qualities))

    def stop(self, *, record: bool) -> None:
        """End, after one last batch if `record`."""
        self._stopped.set()
        self._thread.join()
        if record and self._failed is None:
            # A full disk is the likely reason why we stop; then the last batch is done again.
            with contextlib.suppress(DiskError):
                self._flush()

    def _run(self) -> None:
        try:
            while not self._stopped.wait(INTERVAL):
                self._flush()
        except DiskError as error:
            self._failed = error

    def _flush(self) -> None:
        # Taken before the data is synced: what finishes meanwhile is for the next batch.
        with self._lock:
            batch, self._finished = self._finished, []
        for place, journal in enumerate(self._journals):
            journal.record((task, found[place] if found else None) for task, found in batch)
