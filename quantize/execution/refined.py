"""Rows quantized under the metric of their matrix."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

from quantize.arrays import F32Array, U8Array
from quantize.errors import CheckpointError
from quantize.execution.importance import within_matrices
from quantize.formats.metric import Metric
from quantize.planning.plan import PlannedTensor
from quantize.quantizers.base import Quantizer
from quantize.quantizers.refined import Prepared, prepared, refine

# Tasks of one tensor follow one another, and tensors of one metric too.
_KEPT = 2
_kept: OrderedDict[tuple[Metric, int, str], Prepared] = OrderedDict()
_lock = threading.Lock()


def quantize_refined(
    quantizer: Quantizer,
    tensor: PlannedTensor,
    metric: Metric,
    rows: F32Array,
    first: int,
    kernels: str,
) -> U8Array:
    """The stored bytes of `rows`, float32 `(n, cols)`, from row `first` of the tensor on."""
    height = tensor.rows // metric.matrices
    pieces = [
        refine(
            quantizer,
            rows[lo - first : hi - first],
            _prepared(metric, lo // height, kernels),
            metric.sweeps,
            kernels,
        )
        for lo, hi in within_matrices(first, first + len(rows), height)
    ]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _prepared(metric: Metric, number: int, kernels: str) -> Prepared:
    key = (metric, number, kernels)
    with _lock:
        found = _kept.pop(key, None) or _made(metric, number, kernels)
        _kept[key] = found
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    return found


def _made(metric: Metric, number: int, kernels: str) -> Prepared:
    try:
        return prepared(metric.matrix(number), metric.damping, kernels)
    except ValueError as error:
        raise CheckpointError(
            "singular-metric",
            "the inputs of a matrix do not tell what its errors cost",
            where=metric.file.name,
            reason=str(error),
            hint="calibrate with more text, or leave out --refine",
        ) from error
