"""What a conversion measures of each tensor while the rows and their blocks are in memory anyway.

Decoding and measuring every row would cost about as much as quantizing it. So of a large tensor
one row of 61 is measured. Which ones depends on the tensor alone, and sums are exact: the result
does not depend on which worker handled which rows, on their order, or on interruptions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from quantize.execution.error_sums import TensorQuality, measure
from quantize.execution.ranges import Done
from quantize.planning.plan import PlannedTensor, Task
from quantize.quantizers import QUANTIZERS
from quantize.quantizers.base import U8Array

# One row of so many, if that leaves at least this many weights. Primes: they do not keep step with
# the heads of attention, whose rows are alike in every head.
STRIDES = (61, 47, 31, 23, 17, 13, 11, 7, 5, 3)
_ENOUGH = 1 << 16


def stride(tensor: PlannedTensor) -> int:
    """One row of how many is measured; the first always is."""
    weights = tensor.rows * tensor.cols
    return next((stride for stride in STRIDES if weights >= stride * _ENOUGH), 1)


def measured_weights(tensor: PlannedTensor) -> int:
    """How many weights of a tensor are measured."""
    return -(-tensor.rows // stride(tensor)) * tensor.cols


def measure_stored(
    tensor: PlannedTensor, rows: NDArray[Any], data: U8Array, first: int
) -> TensorQuality:
    """Error of the stored `data` against `rows`, over the rows chosen for measuring.

    `first` is which row of the tensor the first one is. Blocks that were moved lose nothing.
    """
    chosen = slice(-first % stride(tensor), None, stride(tensor))
    if tensor.type not in QUANTIZERS:
        return TensorQuality(count=len(data[chosen]) * tensor.cols)
    values = QUANTIZERS[tensor.type].dequantize(data[chosen])
    return measure(values if tensor.repacked else rows[chosen], values)


def measured_ranges(
    listed: Sequence[Mapping[Task, TensorQuality]], rows: Sequence[int]
) -> tuple[Done, list[Task]]:
    """Ranges that all journals list with their qualities, none of them overlapping another.

    A range may have been made twice, cut differently, when one journal was behind another. What
    was listed last counts. Whatever is left out has to be made again.
    """
    done = Done(rows)
    tasks = [task for task in listed[0] if all(task in other for other in listed)]
    found = []
    for task in reversed(tasks):
        if list(done.missing(task)) == [task]:
            done.add(task)
            found.append(task)
    return done, found
