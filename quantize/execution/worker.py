"""What a task does, whoever calls it: read rows, quantize them, write them at their offset.

The bytes depend on the plan, the task and the source alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from quantize.checkpoints.source import RowSource
from quantize.execution.checks import check_rows, overflows, too_large
from quantize.execution.error_sums import TensorQuality
from quantize.execution.importance import quantize_weighted
from quantize.execution.inline_errors import measure_stored
from quantize.execution.refined import quantize_refined
from quantize.execution.rows import planned_rows, row_ranges, stored_blocks
from quantize.planning.plan import PlannedTensor, Task
from quantize.quantizers import load
from quantize.quantizers.base import F32Array, U8Array

# write(offset in the file, data)
Write = Callable[[int, memoryview], None]

# By whether a tensor is repacked: its blocks, uint8, or its rows, float32. One output may copy
# blocks that another requantizes.
Rows = dict[bool, NDArray[Any]]

# One for each output, of the rows of a task that are measured; or none at all.
Qualities = Sequence[TensorQuality]


class CancelledError(Exception):
    """The run is over; whoever asked for the end knows why."""


class Worker:
    """Tasks of several outputs made from the same rows.

    `outputs` are the tensors of each plan: the same ones in the same order, with other types and
    offsets; `writes` are in their order. `step` bounds how many elements are quantized at once.
    `measures`: say what of the rows is lost. Reading and writing may go on in two threads at the
    same time.
    """

    def __init__(
        self,
        outputs: Sequence[Sequence[PlannedTensor]],
        source: RowSource,
        writes: Sequence[Write],
        kernels: str,
        step: int,
        *,
        measures: bool = False,
    ) -> None:
        self.outputs = outputs
        self.source = source
        self.writes = writes
        types = {tensor.type for tensors in outputs for tensor in tensors if not tensor.repacked}
        self.kernels = kernels
        self.quantizers = {type: load(type, kernels) for type in types}
        self.step = step
        self.measures = measures
        self.cancelled = threading.Event()

    def read(self, task: Task) -> Rows:
        """What the outputs need of a task's rows. Raises CheckpointError for NaN and infinities."""
        self._stop_if_cancelled()
        kinds = {tensors[task.index].repacked: tensors[task.index] for tensors in self.outputs}
        return {repacked: self._read(tensor, task) for repacked, tensor in kinds.items()}

    def _read(self, tensor: PlannedTensor, task: Task) -> NDArray[Any]:
        if tensor.repacked:
            return stored_blocks(self.source, tensor, task.lo, task.hi)
        rows = planned_rows(self.source, tensor, task.lo, task.hi, self.step)
        check_rows(self.source, tensor, rows, self.step)
        return rows

    def write(self, task: Task, rows: Rows) -> Qualities:
        """Quantize for each output and write; say how good each is, if that is asked for.

        Raises CheckpointError, DiskError, CancelledError.
        """
        qualities = [TensorQuality()] * len(self.outputs) if self.measures else []
        cols = self.outputs[0][task.index].cols
        for lo, hi in row_ranges(task.hi - task.lo, cols, self.step):
            self._stop_if_cancelled()
            first = task.lo + lo
            done: dict[str, U8Array] = {}
            found: dict[str, TensorQuality] = {}
            for tensors, write in zip(self.outputs, self.writes, strict=True):
                tensor = tensors[task.index]
                if tensor.type not in done:
                    part = rows[tensor.repacked][lo:hi]
                    done[tensor.type] = self._stored(tensor, part, first)
                    if self.measures:
                        data = done[tensor.type]
                        found[tensor.type] = measure_stored(tensor, part, data, first)
                offset = tensor.offset + first * tensor.row_nbytes
                write(offset, done[tensor.type].reshape(-1).data)
            for place, _ in enumerate(qualities):
                qualities[place] += found[self.outputs[place][task.index].type]
        return qualities

    def _stored(self, tensor: PlannedTensor, rows: NDArray[Any], first: int) -> U8Array:
        """The stored bytes of `rows`, of which the first is row `first` of the tensor."""
        data = rows if tensor.repacked else self._quantize(tensor, rows, first)
        if overflows(tensor.type, data):
            raise too_large(self.source, tensor, self.step)
        return data

    def _quantize(self, tensor: PlannedTensor, rows: F32Array, first: int) -> U8Array:
        quantizer = self.quantizers[tensor.type]
        if tensor.metric is not None:
            return quantize_refined(quantizer, tensor, tensor.metric, rows, first, self.kernels)
        if tensor.imatrix is None:
            return quantizer.quantize(rows)
        return quantize_weighted(quantizer, tensor, tensor.imatrix, rows, first)

    def _stop_if_cancelled(self) -> None:
        if self.cancelled.is_set():
            raise CancelledError
