"""The other end of a ProcessLane: what its child runs."""

from __future__ import annotations

import os
import pickle
import sys
import threading

from quantize.execution.lanes import Setup, ThreadLane
from quantize.execution.worker import Qualities, Worker
from quantize.planning.plan import Task
from quantize.storage.sink_files import PartialFiles


def main() -> None:
    """Read a Setup and then tasks from standard input until it ends; report on standard output."""
    reports = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not get between the reports
    lock = threading.Lock()

    def report(task: Task | None, error: BaseException | None, qualities: Qualities) -> None:
        try:
            message = pickle.dumps((task, error, qualities))
            pickle.loads(message)  # noqa: S301 - some errors go in but do not come out again
        except Exception:  # noqa: BLE001 - anything can be wrong with somebody's exception
            message = pickle.dumps((task, RuntimeError(repr(error)), ()))
        with lock:
            reports.write(message)
            reports.flush()

    try:
        setup: Setup = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by our parent
        files = [PartialFiles(finals, resume=True) for finals in setup.finals]
        writes = [file.write for file in files]
        worker = Worker(
            setup.outputs,
            setup.source,
            writes,
            setup.kernels,
            setup.step,
            measures=setup.measures,
        )
        lane = ThreadLane(worker, report)
    except Exception as error:  # noqa: BLE001 - the parent raises it
        report(None, error, ())
        return
    try:
        while True:
            lane.send(pickle.load(sys.stdin.buffer))  # noqa: S301 - as above
    finally:
        # Nobody is there any more, neither for reports nor for what is not written yet.
        os._exit(0)
