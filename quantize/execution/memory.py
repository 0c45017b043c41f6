"""One memory bound for the whole run, and what of it each task may take.

The bound counts the resident memory of all processes. What the interpreters take is subtracted
first; the rest is what tasks in flight may hold. Nothing is mapped: pages of the page cache belong
to the system, which gives them to whoever needs them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quantize.checkpoints.source import RowSource
from quantize.errors import UsageError
from quantize.execution.kernel_sets import PROCESSES, choose_kernels
from quantize.options.run import RunOptions
from quantize.planning.plan import Plan, PlannedTensor, RowRange, Task, tasks
from quantize.tensors import count
from quantize.units import format_bytes

_MB = 10**6

# Bytes that a task holds for each of its elements: stored bytes as they are read, float32 decoded,
# gathered and joined, and the quantized bytes. The sum of what can be alive at once.
_PER_ELEMENT = 24
# A transform that mixes columns holds its sources, its result, and one step between, in float32.
_PER_WHOLE_ELEMENT = 12

# A larger task does not run faster; a smaller one has more overhead for each element.
LARGEST_STEP = 1 << 20
_SMALLEST_STEP = 1 << 16

# With fewer weights, starting processes would take longer than the work.
WORTH_PROCESSES = 1 << 24

# Each lane works on one task and has read the next.
IN_FLIGHT = 2

# Measured: an interpreter with NumPy and our modules, and the kernels' scratch arrays.
_PROCESS = 64 * _MB
_THREAD = 24 * _MB
_KERNELS = {"numpy": 0, "numba": 130 * _MB}  # what loading a set brings with it
_OURSELVES = 200 * _MB  # where the system does not say


@dataclass(frozen=True, slots=True)
class Limits:
    """`jobs` lanes, tasks of about `step` elements, `budget` bytes for all that are in flight.

    `base` is what the interpreters take, `processes` whether a lane is one.
    """

    jobs: int
    step: int
    budget: int
    base: int
    processes: bool


@dataclass(frozen=True, slots=True)
class Needs:
    """What a run takes, in bytes: resident memory of all processes at the most, and disk."""

    memory: int
    disk: int


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limits_of(settings: RunOptions, weights: int) -> Limits:
    """Share the bound among lanes: where it is tight, first smaller tasks, then fewer lanes.

    `weights` is how many there are to convert. Without a bound of its own a run may take 256 MB
    (or what the process takes already), and 128 MB for each lane. Raises UsageError when one lane
    with small tasks does not fit into the bound that was given.
    """
    wanted = cores() if settings.jobs is None else settings.jobs
    if wanted < 1:
        raise UsageError("bad-jobs", f"{wanted} workers cannot do anything", where="--jobs")
    kernels = choose_kernels(settings.kernels)
    processes = PROCESSES[kernels] and wanted > 1 and weights >= WORTH_PROCESSES
    ours = _resident() + (0 if kernels in sys.modules else _KERNELS[kernels])
    lane = _PROCESS if processes else _THREAD
    smallest = IN_FLIGHT * _SMALLEST_STEP * _PER_ELEMENT
    bound = settings.memory_bound
    if bound is None:
        # A program that is large before it calls us keeps what it has.
        bound = max(256 * _MB, ours) + 128 * _MB * wanted
    jobs = min(wanted, (bound - ours) // (lane + smallest))
    if jobs < 1:
        raise UsageError(
            "too-little-memory",
            f"{format_bytes(bound)} are not enough to work in",
            where="--max-memory",
            reason=f"the program itself and one worker take {format_bytes(ours + lane)}",
            hint=f"--max-memory {_megabytes(ours + lane + 4 * smallest)}",
        )
    base = ours + jobs * lane
    step = (bound - base) // (jobs * IN_FLIGHT * _PER_ELEMENT)
    return Limits(jobs, min(step, LARGEST_STEP), bound - base, base, processes)


def task_memory(source: RowSource, tensor: PlannedTensor, rows: RowRange, step: int) -> int:
    """Bytes that a task for these rows holds while it is in flight."""
    sources = [count(source.weights[name].shape) for name in tensor.sources]
    return _memory(tensor, rows, step, sum(sources))


def check_memory(
    source: RowSource, tensors: Sequence[PlannedTensor], cut: Sequence[Task], limits: Limits
) -> None:
    """Raise UsageError for a task that would not fit into the bound even alone."""
    for task in cut:
        tensor = tensors[task.index]
        check_needed(tensor.name, task_memory(source, tensor, task.rows, limits.step), limits)


def check_needed(name: str, needed: int, limits: Limits) -> None:
    """Raise UsageError unless `needed` bytes for the tensor `name` fit into the bound."""
    if needed > limits.budget:
        raise UsageError(
            "too-little-memory",
            f"{format_bytes(needed)} are needed for this tensor alone",
            where=name,
            reason=f"{format_bytes(limits.budget)} of the bound are left for tensors",
            hint=f"--max-memory {_megabytes(limits.base + needed)}",
        )


def needs_of(plans: Sequence[Plan], settings: RunOptions) -> Needs:
    """What writing `plans` would take. Raises UsageError where the bound is too small."""
    limits = limits_of(settings, plans[0].n_params)
    tensors = plans[0].tensors
    held = [
        _memory(tensors[task.index], task.rows, limits.step, count(tensors[task.index].full_shape))
        for task in tasks(plans[0], limits.step)
    ]
    most = sum(sorted(held)[-limits.jobs * IN_FLIGHT :])
    # Where that is more than the budget, fewer tasks are in flight.
    memory = limits.base + max(min(most, limits.budget), max(held, default=0))
    return Needs(memory, sum(plan.size for plan in plans))


def _memory(tensor: PlannedTensor, rows: RowRange, step: int, sources: int) -> int:
    elements = (rows.hi - rows.lo) * tensor.cols
    if not tensor.transform.needs_whole_tensor:
        return elements * _PER_ELEMENT + tensor.fixed_nbytes
    mixed = max(sources // tensor.slices, elements) * _PER_WHOLE_ELEMENT
    return mixed + step * _PER_ELEMENT + tensor.fixed_nbytes


def _resident() -> int:
    """Bytes of this process that are in memory now."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return _OURSELVES


def _megabytes(nbytes: int) -> str:
    return f"{nbytes // _MB + 1}MB"
