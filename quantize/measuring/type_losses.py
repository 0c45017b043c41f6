"""What each type would lose of a tensor, measured on some of its rows.

The loss is the mean square of the error relative to that of the weights, each column counted as
much as the importance matrix says: the error of what the matrix computes, relative to the result,
if the inputs are independent. It is the same for a large and a small tensor, as is the harm.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from quantize.arrays import F32Array
from quantize.checkpoints.source import RowSource
from quantize.execution.checks import check_rows
from quantize.execution.importance import importance_at
from quantize.execution.kernel_sets import choose_kernels
from quantize.execution.memory import check_needed, limits_of, task_memory
from quantize.execution.rows import planned_rows
from quantize.measuring.tensor_errors import run_within
from quantize.options.run import RunOptions
from quantize.planning.plan import PlannedTensor, RowRange
from quantize.progress import Progress
from quantize.quantizers import load
from quantize.tensors import (
    count,
)

# Enough that the error of the mean is below a hundredth of it: weights of a tensor are much alike.
_SAMPLE = 1 << 15
_F32 = 4  # bytes that each weight is when it is measured: the unit of the progress
_PLACES = 8  # at which rows are taken


@dataclass(frozen=True, slots=True)
class Trial:
    """A tensor and the types to try on it."""

    tensor: PlannedTensor
    types: Collection[str]


@dataclass(frozen=True, slots=True)
class _Job:
    """The trial of one tensor: ranges of its rows, one after another, and the bytes they take."""

    trial: Trial
    ranges: Sequence[RowRange]
    memory: int


def sampled_losses(
    source: RowSource, trials: Sequence[Trial], settings: RunOptions, progress: Progress
) -> list[dict[str, float]]:
    """For each trial its types' losses. The same rows are taken whenever it is done.

    Raises CheckpointError for weights that are not finite, UsageError where memory is too tight.
    """
    kernels = choose_kernels(settings.kernels)
    limits = limits_of(settings, 0)
    jobs = [_job(source, trial, limits.step) for trial in trials]
    for job in jobs:
        check_needed(job.trial.tensor.name, job.memory, limits)
    progress.start("measure", _F32 * sum(count(trial.tensor.shape) for trial in trials))

    def losses(job: _Job) -> dict[str, float]:
        tensor, types = job.trial.tensor, job.trial.types
        quantizers = {type: load(type, kernels) for type in types}
        errors, signal = dict.fromkeys(types, 0.0), 0.0
        for task in job.ranges:
            made = planned_rows(source, tensor, task.lo, task.hi, limits.step)
            rows = made[:: -(-made.size // _SAMPLE)]
            check_rows(source, tensor, rows, limits.step)
            weights = importance_at(tensor, task.lo)
            signal += _weighted_square(rows, weights)
            for type, quantizer in quantizers.items():
                values = quantizer.dequantize(quantizer.quantize(rows, weights))
                errors[type] += _weighted_square(values - rows, weights)
        progress.advance(_F32 * count(tensor.shape), tensor.name)
        return {type: error / signal if signal else 0.0 for type, error in errors.items()}

    with ThreadPoolExecutor(limits.jobs) as pool:
        found = run_within(pool, losses, jobs, limits.jobs, limits.budget)
    progress.finish()
    return found


def _job(source: RowSource, trial: Trial, step: int) -> _Job:
    ranges = list(_ranges(trial.tensor))
    memory = max(task_memory(source, trial.tensor, task, step) for task in ranges)
    return _Job(trial, ranges, memory)


def _ranges(tensor: PlannedTensor) -> Iterator[RowRange]:
    """Rows at equal distances, each range in one matrix of a stack.

    Slices that must be made complete are taken so; then they hold more than a sample.
    """
    matrix = tensor.full_shape[-2]
    if tensor.transform.needs_whole_tensor:
        slice_rows = tensor.rows // tensor.slices
        for part in range(min(_PLACES, tensor.slices)):
            lo = tensor.slices * part // min(_PLACES, tensor.slices) * slice_rows
            yield RowRange(lo, lo + min(slice_rows, matrix))
        return
    height = max(1, _SAMPLE // _PLACES // tensor.cols)
    starts = sorted({tensor.rows * part // _PLACES for part in range(_PLACES)})
    for lo, following in pairwise([*starts, tensor.rows]):
        yield RowRange(lo, min(lo + height, following, (lo // matrix + 1) * matrix))


def _weighted_square(values: F32Array, weights: F32Array | None) -> float:
    """The sum of squares, those of each column times its weight, in float64."""
    columns = np.einsum("ij,ij->j", values, values, dtype=np.float64)
    return float(columns.sum() if weights is None else columns @ weights)
