"""The metric of the token embedding: which directions of the residual stream are read.

Block l reads the stream x as R diag(g) x / rms(x), where g is the norm's weight and R one of its
matrices. An error e of the embedding then changes what is read by |R diag(g) e|^2, which sums up to

    M = sum over l, R of diag(g) R^T R diag(g) / (l + 1)^2

The stream grows with every block, and norms divide by its size; what earlier blocks add also covers
what the embedding said. The factor 1 / (l + 1)^2 stands for both: of the powers 0, 1 and 2 it gave
the least divergence on each of three texts (docs/refinement.md).

Experts count by how many of them a token goes to. Where the embedding is the output matrix as well,
its rows are also read by the final hidden state, whose directions are taken to be alike before the
last norm: diag(g)^2 is added with the same weight as M.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from quantize.arrays import F32Array
from quantize.checkpoints.source import RowSource
from quantize.execution.rows import planned_rows, row_ranges
from quantize.formats.metric import rounded
from quantize.planning.plan import Plan, PlannedTensor
from quantize.planning.refinement import EMBEDDING, OUTPUT, OUTPUT_NORM, readers_of
from quantize.progress import Progress

F64Array = NDArray[np.float64]

_STEP = 1 << 20  # weights at a time
_BIAS = ".bias"


def embedding_metric(plan: Plan, source: RowSource, progress: Progress) -> F32Array:
    """M, float32 `(cols, cols)`, rounded so that the order of sums does not show."""
    tensors = {tensor.name: tensor for tensor in plan.tensors}
    found = readers_of(plan.arch, list(tensors))
    cols = tensors[EMBEDDING].cols
    metric = np.zeros((cols, cols))
    progress.start("readers", sum(_nbytes(tensors[one.matrix]) for one in found))
    for reader in found:
        tensor = tensors[reader.matrix]
        norm = _whole(source, tensors[reader.norm]).reshape(-1)
        share = _share(plan, tensor) / (reader.block + 1) ** 2
        centered = reader.norm.removesuffix(".weight") + _BIAS in tensors
        metric += share * _read_by(source, tensor, norm, progress, centered=centered)
    progress.finish()
    if OUTPUT not in tensors:
        metric /= np.trace(metric) / cols
        norm = _final_norm(source, tensors, cols)
        metric += np.diag(norm * norm) / np.mean(norm * norm)
    return rounded(metric)


def _read_by(
    source: RowSource,
    tensor: PlannedTensor,
    norm: F64Array,
    progress: Progress,
    *,
    centered: bool,
) -> F64Array:
    """diag(g) R^T R diag(g); `centered`: the norm takes the mean of the stream off first."""
    total = np.zeros((tensor.cols, tensor.cols))
    for lo, hi in row_ranges(tensor.rows, tensor.cols, _STEP):
        rows = planned_rows(source, tensor, lo, hi, _STEP).astype(np.float64) * norm
        if centered:
            rows -= rows.mean(axis=1, keepdims=True)
        total += rows.T @ rows
        progress.advance((hi - lo) * tensor.row_nbytes, tensor.name)
    return total


def _nbytes(tensor: PlannedTensor) -> int:
    return tensor.rows * tensor.row_nbytes


def _share(plan: Plan, tensor: PlannedTensor) -> float:
    """Of the experts in a stack, the share that a token goes to; 1 of any other matrix."""
    if len(tensor.full_shape) < 3:
        return 1.0
    return float(plan.kvs.hparam("expert_used_count", 1)) / tensor.full_shape[0]


def _final_norm(source: RowSource, tensors: Mapping[str, PlannedTensor], cols: int) -> F64Array:
    if OUTPUT_NORM not in tensors:
        return np.ones(cols)
    return _whole(source, tensors[OUTPUT_NORM]).reshape(-1)


def _whole(source: RowSource, tensor: PlannedTensor) -> F64Array:
    return planned_rows(source, tensor, 0, tensor.rows, _STEP).astype(np.float64)
