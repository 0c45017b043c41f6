"""Tasks in the order in which their weights lie in the source's files.

A disk does not care, so a run keeps the order of the output, whose digests then follow the work.
Over a network it is what makes one pass: files are converted as they arrive, and ranges are read
forward.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from quantize.checkpoints.base import Weight
from quantize.checkpoints.source import RowSource
from quantize.planning.plan import PlannedTensor, Task
from quantize.tensors import as_rows
from quantize.transforms import split_at_whole


def in_source_order(
    source: RowSource, tensors: Sequence[PlannedTensor], cut: Iterable[Task]
) -> list[Task]:
    """`cut`, sorted by where each task begins to read; what reads nothing comes first."""
    return sorted(cut, key=lambda task: _place(source, tensors[task.index], task))


def _place(source: RowSource, tensor: PlannedTensor, task: Task) -> tuple[str, int]:
    weights = [source.weights[name] for name in tensor.sources]
    if not weights:
        return "", 0
    shapes = [weight.shape for weight in weights]
    transform, lo = tensor.transform, task.lo
    if transform.needs_whole_tensor:
        if tensor.slices == 1:
            return max(_offset(weight, 0) for weight in weights)
        transform = split_at_whole(transform)[0]
        lo = lo * as_rows(transform.shape(shapes))[0] // tensor.rows
    index, rows = transform.rows(shapes, lo, lo + min(1, task.hi - task.lo))[0]
    return _offset(weights[max(index, 0)], int(rows[0]) if len(rows) else 0)


def _offset(weight: Weight, row: int) -> tuple[str, int]:
    """File and byte of a row, nearly; a row that is packed with others lies about there."""
    part = weight.parts[0]
    return part.file, part.offset + part.nbytes * row // max(as_rows(weight.shape)[0], 1)
