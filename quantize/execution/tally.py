"""What is done so far, for whoever waits for it: the watcher, and the thread that hashes."""

from __future__ import annotations

from quantize.checkpoints.source import RowSource
from quantize.execution.digests import Hasher
from quantize.execution.ranges import Done
from quantize.planning.plan import Plan, PlannedTensor, Task
from quantize.progress import Progress
from quantize.tensors import count
from quantize.units import format_bytes


class Tally:
    """Counts finished tasks of a plan. The unit is bytes of the source.

    A source that makes several tensors is shared among them by their elements.
    """

    def __init__(
        self, plan: Plan, source: RowSource, done: Done, hasher: Hasher, progress: Progress
    ) -> None:
        self.done = done
        self._tensors = plan.tensors
        self._nbytes = [_source_nbytes(source, tensor) for tensor in plan.tensors]
        self._hasher = hasher
        self._progress = progress
        self._hashed = 0

    def start(self) -> None:
        """Say what there is to do, and what an earlier run has done of it."""
        self._progress.start("convert", sum(self._nbytes))
        earlier = 0
        for task in self.done.tasks():
            nbytes = self._share(task)
            earlier += nbytes
            self._progress.advance(nbytes, self._tensors[task.index].name)
        if earlier:
            total = sum(self._nbytes)
            self._progress.note(
                f"continues where it stopped: {format_bytes(earlier)} of "
                f"{format_bytes(total)} are done"
            )
        self._hash()

    def add(self, task: Task) -> None:
        self.done.add(task)
        self._progress.advance(self._share(task), self._tensors[task.index].name)
        self._hash()

    def _share(self, task: Task) -> int:
        """Bytes of a task; those of all tasks of a tensor add up to the tensor's."""
        nbytes, rows = self._nbytes[task.index], self._tensors[task.index].rows
        return nbytes * task.hi // rows - nbytes * task.lo // rows

    def _hash(self) -> None:
        while self._hashed < len(self._tensors) and self.done.complete(self._hashed):
            self._hasher.put(self._hashed)
            self._hashed += 1


def _source_nbytes(source: RowSource, tensor: PlannedTensor) -> int:
    if tensor.values is not None:
        return len(tensor.values)
    weights = [source.weights[name] for name in tensor.sources]
    elements = sum(count(weight.shape) for weight in weights)
    return sum(weight.nbytes for weight in weights) * count(tensor.full_shape) // max(elements, 1)
