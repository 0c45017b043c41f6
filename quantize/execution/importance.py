"""Rows of stacked matrices, each quantized with what the importance matrix says of its columns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quantize.arrays import F32Array, U8Array
from quantize.formats.imatrix import LARGEST, ImatrixEntry
from quantize.planning.plan import PlannedTensor
from quantize.quantizers.base import Quantizer


def quantize_weighted(
    quantizer: Quantizer, tensor: PlannedTensor, imatrix: ImatrixEntry, rows: F32Array, first: int
) -> U8Array:
    """The stored bytes of `rows`, float32 `(n, cols)`, from row `first` of the tensor on."""
    pieces = [
        quantizer.quantize(rows[lo - first : hi - first], _importance(tensor, imatrix, lo))
        for lo, hi in within_matrices(first, first + len(rows), tensor.full_shape[-2])
    ]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def within_matrices(lo: int, hi: int, height: int) -> Iterator[tuple[int, int]]:
    """lo..hi in ranges that each lie in one matrix of `height` rows."""
    while lo < hi:
        end = min(hi, (lo // height + 1) * height)
        yield lo, end
        lo = end


def importance_at(tensor: PlannedTensor, row: int) -> F32Array | None:
    """How much the columns matter in the matrix that has `row`; None if nothing says so."""
    return None if tensor.imatrix is None else _importance(tensor, tensor.imatrix, row)


def _importance(tensor: PlannedTensor, imatrix: ImatrixEntry, row: int) -> F32Array:
    return _usable(imatrix.values().reshape(-1, tensor.cols)[row // tensor.full_shape[-2]])


def _usable(weights: F32Array) -> F32Array:
    """The importance of one matrix' columns, or that all are alike.

    With larger values ggml's sums overflow: llama-quantize then writes zeros, gives up on infinite
    scales, or is ended by an assertion, as it happens.
    """
    return weights if weights.max() <= LARGEST else np.ones_like(weights)
