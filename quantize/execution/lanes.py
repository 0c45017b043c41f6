"""Lanes that tasks run on: two threads here, or two threads in a process of its own.

One thread of a lane reads, the other quantizes and writes, so a lane that has been sent two tasks
reads the second while it works on the first. A lane reports each task once, from any thread.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

from quantize.checkpoints.source import RowSource
from quantize.errors import DiskError
from quantize.execution.worker import Qualities, Worker
from quantize.planning.plan import PlannedTensor, Task

# report(task, None, qualities) when it is done, report(task, error, ()) when it failed. The task is
# None when the lane itself broke.
Report = Callable[[Task | None, BaseException | None, Qualities], None]


_PATIENCE = 1.0  # seconds for a read to end when nobody wants it any more


class Lane(Protocol):
    def send(self, task: Task) -> None:
        """Queue a task."""

    def close(self) -> None:
        """Stop as soon as possible, whatever is queued, and wait for that."""


class ThreadLane:
    """Two threads of this process: for kernels that release the interpreter lock."""

    def __init__(self, worker: Worker, report: Report) -> None:
        self._worker = worker
        self._report = report
        self._sent: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._read: queue.Queue[Callable[[], None] | None] = queue.Queue(maxsize=1)
        self._reader = threading.Thread(target=self._run_reader, name="reader", daemon=True)
        self._writer = threading.Thread(target=self._run_writer, name="writer", daemon=True)
        self._reader.start()
        self._writer.start()

    def send(self, task: Task) -> None:
        self._sent.put(task)

    def close(self) -> None:
        self._worker.cancelled.set()
        self._sent.put(None)
        self._reader.join(_PATIENCE)
        if self._reader.is_alive():
            # The reader is blocked on I/O. It writes nothing, so let it die with the process.
            self._read.put(None)
        self._writer.join()

    def _run_reader(self) -> None:
        while (task := self._sent.get()) is not None:
            self._read.put(self._prepare(task))
        self._read.put(None)

    def _run_writer(self) -> None:
        while (step := self._read.get()) is not None:
            step()

    def _prepare(self, task: Task) -> Callable[[], None]:
        """What the writing thread has to do about `task`, its rows at hand."""
        try:
            rows = self._worker.read(task)
        except BaseException as error:  # noqa: BLE001 - whoever reads the report raises it
            failed = error
            return lambda: self._report(task, failed, ())

        def finish() -> None:
            error = None
            qualities: Qualities = ()
            try:
                qualities = self._worker.write(task, rows)
            except BaseException as raised:  # noqa: BLE001 - as above
                error = raised
            self._report(task, error, qualities)

        return finish


# Ctrl-C goes to the processes of the terminal's group; the run decides what its workers do.
if sys.platform == "win32":
    _GROUP, _FLAGS = None, subprocess.CREATE_NEW_PROCESS_GROUP
else:
    _GROUP, _FLAGS = 0, 0


@dataclass(frozen=True, slots=True)
class Setup:
    """What a process needs to make a Worker: `finals` are paths and sizes of the outputs' files."""

    outputs: Sequence[Sequence[PlannedTensor]]
    source: RowSource
    finals: Sequence[Sequence[tuple[Path, int]]]
    kernels: str
    step: int
    measures: bool


class ProcessLane:
    """A process of its own: for kernels that hold the interpreter lock.

    It is a plain child with pickles on its standard input and output. Unlike multiprocessing's, it
    does not run the caller's main module again, so it is small, starts in a tenth of a second,
    and any program may call us without a guard. It does not see the terminal's Ctrl-C, and
    it ends when its input does, even if we were killed.
    """

    def __init__(self, setup: Setup, report: Report) -> None:
        self._report = report
        self._closing = False
        # Many small BLAS threads, each with a buffer, would come with NumPy; nobody uses them.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        program = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            "from quantize.execution.process import main; main()"
        )
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            process_group=_GROUP,
            creationflags=_FLAGS,
        )
        self._input = cast("IO[bytes]", self._process.stdin)
        self._output = cast("IO[bytes]", self._process.stdout)
        self._thread = threading.Thread(target=self._run_reports, name="reports", daemon=True)
        self._thread.start()
        self._send(setup)

    def send(self, task: Task) -> None:
        self._send(task)

    def close(self) -> None:
        # What it is doing can be thrown away at any point: no record says that it is done.
        self._closing = True
        self._process.kill()
        self._process.wait()
        self._thread.join()
        for pipe in (self._input, self._output):
            with contextlib.suppress(OSError):
                pipe.close()

    def _send(self, message: Setup | Task) -> None:
        # If the process is gone, the thread that reads its reports says so.
        with contextlib.suppress(OSError):
            pickle.dump(message, self._input, pickle.HIGHEST_PROTOCOL)
            self._input.flush()

    def _run_reports(self) -> None:
        try:
            while True:
                message = pickle.load(self._output)  # noqa: S301 - written by our own child
                self._report(*message)
        except (EOFError, pickle.UnpicklingError, OSError):
            if not self._closing:
                self._report(None, _lost(self._process.wait()), ())


def _lost(code: int) -> DiskError:
    return DiskError(
        "worker-lost",
        "a worker process ended by itself",
        reason=f"its exit status is {code}; -9 is often the system, short of memory",
        hint="the same command continues; --jobs 1 or a smaller --max-memory needs less",
    )
