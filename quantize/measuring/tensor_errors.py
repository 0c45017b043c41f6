"""Two sources held against each other, tensor by tensor, in row ranges within the memory bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from quantize.arrays import F32Array
from quantize.checkpoints.source import RowSource
from quantize.execution.error_sums import TensorQuality, measure
from quantize.execution.memory import check_needed, limits_of, task_memory
from quantize.execution.rows import planned_rows, row_ranges
from quantize.options.run import RunOptions
from quantize.planning.plan import PlannedTensor, RowRange
from quantize.progress import Progress
from quantize.tensors import (
    as_rows,
    count,
)

_F32 = 4  # bytes that each weight is when it is compared: the unit of the progress

Rows = Callable[[int, int], F32Array]
# The reference's tensor and the other's: one name, one written shape.
Pair = tuple[PlannedTensor, PlannedTensor]


class Takes(Protocol):
    """A piece of work that takes `memory` bytes while it is done."""

    @property
    def memory(self) -> int: ...


Work = TypeVar("Work", bound=Takes)
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Job:
    """Rows lo..hi of the pair at `index`, which take `memory` bytes."""

    index: int
    lo: int
    hi: int
    memory: int


def measure_tensors(
    reference: RowSource,
    other: RowSource,
    pairs: Sequence[Pair],
    settings: RunOptions,
    progress: Progress,
) -> list[TensorQuality]:
    """The quality of each pair's second tensor, which `other` gives, against the first.

    Raises UsageError where the bound on memory is too small, and what reading raises.
    """
    # Decoding is NumPy's, which mostly leaves the lock alone: threads, however many weights.
    limits = limits_of(replace(settings, kernels="numpy"), 0)
    jobs = [
        job
        for index, pair in enumerate(pairs)
        for job in _jobs(reference, other, index, pair, limits.step)
    ]
    for job in jobs:
        check_needed(pairs[job.index][0].name, job.memory, limits)
    progress.start("compare", _F32 * sum(count(first.shape) for first, _ in pairs))

    def run(job: Job) -> TensorQuality:
        first, second = pairs[job.index]
        a = _rows(reference, first, job, limits.step)
        b = _rows(other, second, job, limits.step)
        found = TensorQuality()
        cols = as_rows(first.shape)[1]
        for lo, hi in row_ranges(job.hi - job.lo, cols, limits.step):
            found += measure(a(job.lo + lo, job.lo + hi), b(job.lo + lo, job.lo + hi))
        progress.advance(_F32 * (job.hi - job.lo) * cols, first.name)
        return found

    with ThreadPoolExecutor(limits.jobs) as pool:
        parts = run_within(pool, run, jobs, limits.jobs, limits.budget)
    progress.finish()
    qualities = [TensorQuality()] * len(pairs)
    # In the order of the jobs, whichever was done first: sums depend on it in their last digits.
    for job, part in zip(jobs, parts, strict=True):
        qualities[job.index] += part
    return qualities


def run_within(
    pool: ThreadPoolExecutor,
    run: Callable[[Work], Found],
    jobs: Sequence[Work],
    workers: int,
    budget: int,
) -> list[Found]:
    """What `run` gives for each job, in order; never more at once than workers and budget allow.

    No job may take more than the budget alone.
    """
    futures: list[Future[Found]] = []
    pending: dict[Future[Found], int] = {}
    for job in jobs:
        while pending and (len(pending) == workers or sum(pending.values()) + job.memory > budget):
            for done in wait(pending, return_when=FIRST_COMPLETED).done:
                del pending[done]
                done.result()  # no more work after an error
        futures.append(pool.submit(run, job))
        pending[futures[-1]] = job.memory
    return [future.result() for future in futures]


def _jobs(
    reference: RowSource, other: RowSource, index: int, pair: Pair, step: int
) -> Iterator[Job]:
    rows, cols = as_rows(pair[0].shape)
    height = max(1, step // max(cols, 1), *(_height(tensor) for tensor in pair))
    for lo in range(0, rows, height):
        hi = min(lo + height, rows)
        memory = sum(
            _memory(source, tensor, lo, hi, step)
            for source, tensor in zip((reference, other), pair, strict=True)
        )
        yield Job(index, lo, hi, memory)


def _height(tensor: PlannedTensor) -> int:
    """How many rows of the written shape are made at once, whether they are wanted or not."""
    rows = as_rows(tensor.shape)[0]
    if as_rows(tensor.full_shape) != as_rows(tensor.shape):
        return rows
    return rows // tensor.slices if tensor.transform.needs_whole_tensor else 1


def _memory(source: RowSource, tensor: PlannedTensor, lo: int, hi: int, step: int) -> int:
    if as_rows(tensor.full_shape) != as_rows(tensor.shape):
        lo, hi = 0, tensor.rows
    elif not tensor.transform.needs_whole_tensor:
        hi = min(hi, lo + max(1, step // max(tensor.cols, 1)))
    return task_memory(source, tensor, RowRange(lo, hi), step)


def _rows(source: RowSource, tensor: PlannedTensor, job: Job, step: int) -> Rows:
    """Gives any of the job's rows of the written shape as float32 (hi - lo, cols)."""
    if _height(tensor) == 1:
        return lambda lo, hi: planned_rows(source, tensor, lo, hi, step)
    # A vector is written without leading dimensions of 1: one row becomes many.
    is_turned = as_rows(tensor.full_shape) != as_rows(tensor.shape)
    start, stop = (0, tensor.rows) if is_turned else (job.lo, job.hi)
    made = planned_rows(source, tensor, start, stop, step)
    made = made.reshape(-1, as_rows(tensor.shape)[1])
    return lambda lo, hi: made[lo - job.lo : hi - job.lo]
