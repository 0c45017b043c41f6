"""Rows of stacked matrices, each quantized with what the importance matrix says of its columns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quantize.checkpoints.base import F32Array, U8Array
from quantize.execution.checks import overflows
from quantize.formats.imatrix import LARGEST, ImatrixEntry
from quantize.planning.plan import PlannedTensor
from quantize.quantizers.base import Quantizer


def quantize_weighted(
    quantizer: Quantizer, tensor: PlannedTensor, imatrix: ImatrixEntry, rows: F32Array, first: int
) -> U8Array:
    """The stored bytes of `rows`, float32 `(n, cols)`, from row `first` of the tensor on."""
    weights = imatrix.values().reshape(-1, tensor.cols)
    height = tensor.made[-2]
    pieces = [
        _quantize(quantizer, rows[lo - first : hi - first], weights[lo // height])
        for lo, hi in _within_matrices(first, first + len(rows), height)
    ]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _within_matrices(lo: int, hi: int, height: int) -> Iterator[tuple[int, int]]:
    """lo..hi in ranges that each lie in one matrix of `height` rows."""
    while lo < hi:
        end = min(hi, (lo // height + 1) * height)
        yield lo, end
        lo = end


def _quantize(quantizer: Quantizer, rows: F32Array, weights: F32Array) -> U8Array:
    data = quantizer.quantize(rows, weights)
    if weights.max() <= LARGEST or not overflows(quantizer.type.name, data):
        return data
    # llama-quantize gives up here. Row by row, so that it does not matter how tasks are cut.
    alike = np.ones_like(weights)
    for row in range(len(rows)):
        if overflows(quantizer.type.name, data[row : row + 1]):
            data[row] = quantizer.quantize(rows[row : row + 1], alike)[0]
    return data
