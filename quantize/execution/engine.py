"""Run plans: every task once, on every core, and only complete files under their final names."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from pathlib import Path

from quantize.checkpoints.source import RowSource
from quantize.errors import CheckpointError
from quantize.execution.digests import Digests, Hasher
from quantize.execution.journal_writer import Recorder
from quantize.execution.kernel_sets import choose_kernels
from quantize.execution.lanes import Lane, ProcessLane, Setup, ThreadLane
from quantize.execution.memory import IN_FLIGHT, Limits, check_memory, limits_of, task_memory
from quantize.execution.order import in_source_order
from quantize.execution.outputs import RunFiles, facts_of
from quantize.execution.tally import Tally
from quantize.execution.worker import Qualities, Worker
from quantize.execution.written import Shard, Written
from quantize.options.run import RunOptions
from quantize.planning.plan import Plan, Task, tasks
from quantize.progress import Progress
from quantize.storage.sink_files import PartialFiles


def run(
    plans: Sequence[Plan],
    source: RowSource,
    paths: Sequence[Path],
    settings: RunOptions,
    progress: Progress,
    *,
    identity: str = "",
    by_source: bool = False,
    before_commit: Callable[[], object] = lambda: None,
) -> tuple[Written, ...]:
    """Write each plan to its path, reading the source once.

    A plan of several files goes to numbered paths, see files_at.

    The plans are of one model: the same tensors in the same order, with other types. `identity`
    is a text that changes when the source's bytes do: an interrupted run is continued only on the
    same source. `by_source` takes the weights in the order of its files. `before_commit` is called
    when everything is written, before it gets its names. Raises CheckpointError for weights that
    cannot be written, DiskError, UsageError; KeyboardInterrupt passes through after a clean stop.
    After an error that another try may not meet, the partial files and their journals stay, and
    the same call continues.
    """
    kernels = choose_kernels(settings.kernels)
    limits = limits_of(settings, plans[0].n_params)
    cut = list(tasks(plans[0], limits.step))
    if by_source:
        cut = in_source_order(source, plans[0].tensors, cut)
    check_memory(source, plans[0].tensors, cut, limits)
    facts = [facts_of(plan, source, identity) for plan in plans]
    measures = settings.report
    outputs = RunFiles(plans, paths, facts, progress, fresh=settings.fresh, measures=measures)
    try:
        job = _Job(plans, source, outputs, limits, kernels, progress, measures=measures)
        digests = job.run(cut)
        before_commit()
        outputs.commit()
    except CheckpointError:
        outputs.abandon(keep=False)  # the same weights would be refused again
        raise
    except BaseException:
        outputs.abandon(keep=True)
        raise
    progress.finish()
    return tuple(
        Written(_shards(files, digest), digest.tensors, kernels, limits.jobs, qualities)
        for files, digest, qualities in zip(
            outputs.files, digests, outputs.qualities or [[] for _ in plans], strict=True
        )
    )


def _shards(files: PartialFiles, digests: Digests) -> tuple[Shard, ...]:
    return tuple(
        Shard(path, size, sha256)
        for (path, size), sha256 in zip(files.finals, digests.files, strict=True)
    )


class _Job:
    """One run, its files open."""

    def __init__(
        self,
        plans: Sequence[Plan],
        source: RowSource,
        outputs: RunFiles,
        limits: Limits,
        kernels: str,
        progress: Progress,
        *,
        measures: bool,
    ) -> None:
        self.measures = measures
        self.tensors = [plan.tensors for plan in plans]
        self.source = source
        self.outputs = outputs
        self.files = outputs.files
        self.limits = limits
        self.kernels = kernels
        self.recorder = Recorder(outputs.journals)
        self.hasher = Hasher(plans, [[file.partial for file in own.files] for own in outputs.files])
        self.tally = Tally(plans[0], source, outputs.done, self.hasher, progress)
        # (lane, task, error, qualities): what the lanes report.
        self.reports: queue.SimpleQueue[tuple[int, Task | None, BaseException | None, Qualities]]
        self.reports = queue.SimpleQueue()

    def run(self, cut: Sequence[Task]) -> list[Digests]:
        """Do what is missing of the tasks `cut`. Raises the first error that a lane reports."""
        lanes: list[Lane] = []
        try:
            missing = [part for task in cut for part in self.tally.done.missing(task)]
            self.tally.start()
            if self.limits.processes:
                self.source.share()
            lanes += [self._lane(number) for number in range(min(self.limits.jobs, len(missing)))]
            self._dispatch(lanes, missing)
            digests = self.hasher.finish()
        except BaseException:
            self._stop(lanes)
            self.recorder.stop(record=True)
            raise
        self._stop(lanes)
        self.recorder.stop(record=False)
        return digests

    def _dispatch(self, lanes: Sequence[Lane], missing: Sequence[Task]) -> None:
        """Keep each lane supplied, within the memory that tasks in flight may hold."""
        in_flight = [0] * len(lanes)
        held = 0
        following = 0
        while following < len(missing) or held:
            while following < len(missing):
                task = missing[following]
                lane = min(range(len(lanes)), key=in_flight.__getitem__)
                memory = self._memory(task)
                if in_flight[lane] == IN_FLIGHT or held + memory > self.limits.budget:
                    break
                lanes[lane].send(task)
                in_flight[lane] += 1
                held += memory
                following += 1
            lane, task, qualities = self._report()
            in_flight[lane] -= 1
            held -= self._memory(task)
            self.outputs.measured(task, qualities)
            self.recorder.add(task, qualities)
            self.tally.add(task)

    def _report(self) -> tuple[int, Task, Qualities]:
        """Wait for the next finished task. Raises what went wrong instead."""
        while True:
            try:
                # Not for ever: on Windows, Ctrl-C is seen between two waits only.
                lane, task, error, qualities = self.reports.get(timeout=0.5)
            except queue.Empty:
                continue
            if error is not None:
                raise error
            if task is not None:
                return lane, task, qualities

    def _memory(self, task: Task) -> int:
        return task_memory(self.source, self.tensors[0][task.index], task.rows, self.limits.step)

    def _lane(self, number: int) -> Lane:
        def report(task: Task | None, error: BaseException | None, found: Qualities) -> None:
            self.reports.put((number, task, error, found))

        tensors, source, kernels, step = self.tensors, self.source, self.kernels, self.limits.step
        if self.limits.processes:
            finals = [output.finals for output in self.files]
            setup = Setup(tensors, source, finals, kernels, step, self.measures)
            return ProcessLane(setup, report)
        writes = [file.write for file in self.files]
        worker = Worker(tensors, source, writes, kernels, step, measures=self.measures)
        return ThreadLane(worker, report)

    def _stop(self, lanes: Sequence[Lane]) -> None:
        for lane in lanes:
            lane.close()
        self.hasher.stop()
