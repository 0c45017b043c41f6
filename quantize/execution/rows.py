"""The rows of a planned tensor: read, decoded and transformed, before they have a type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from quantize.architectures.transforms import ZEROS
from quantize.checkpoints.base import F32Array, U8Array
from quantize.checkpoints.source import Element, Source, gather_rows
from quantize.planning.plan import PlannedTensor
from quantize.tensors import as_rows


def planned_rows(source: Source, tensor: PlannedTensor, lo: int, hi: int, step: int) -> F32Array:
    """Rows lo..hi of `tensor.made` as float32 (hi - lo, cols).

    A tensor whose transform mixes columns is made complete for that, from sources that are read
    `step` elements at a time.
    """
    if tensor.values is not None:
        values = np.frombuffer(tensor.values, "<f4").reshape(tensor.rows, tensor.cols)
        return values[lo:hi]
    # What overflows is refused with its place, which says more than a warning.
    with np.errstate(over="ignore", invalid="ignore"):
        if tensor.transform.whole:
            complete = tensor.transform.apply([_complete(source, n, step) for n in tensor.sources])
            return complete.reshape(tensor.rows, tensor.cols)[lo:hi]
        return tensor.transform.values(_gathered(source, source.decode_rows, tensor, lo, hi))


def stored_blocks(source: Source, tensor: PlannedTensor, lo: int, hi: int) -> U8Array:
    """Rows lo..hi of a repacked tensor: uint8 (hi - lo, row_nbytes) of its type."""
    return _gathered(source, source.repack_rows, tensor, lo, hi)


def row_ranges(rows: int, cols: int, step: int) -> Iterator[tuple[int, int]]:
    """0..rows in ranges of at most `step` elements, or of one row."""
    height = max(1, step // max(cols, 1))
    return ((lo, min(lo + height, rows)) for lo in range(0, rows, height))


def _gathered(
    source: Source,
    read: Callable[[str, int, int], NDArray[Element]],
    tensor: PlannedTensor,
    lo: int,
    hi: int,
) -> NDArray[Element]:
    shapes = [source.weights[name].shape for name in tensor.sources]
    pieces = [
        _zeros(partial(read, tensor.sources[0]), len(rows))
        if index == ZEROS
        else gather_rows(partial(read, tensor.sources[index]), rows)
        for index, rows in tensor.transform.rows(shapes, lo, hi)
    ]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _zeros(read: Callable[[int, int], NDArray[Element]], count: int) -> NDArray[Element]:
    """`count` rows of zeros, as wide as the rows that `read` gives."""
    return np.repeat(np.zeros_like(read(0, 1)), count, axis=0)


def _complete(source: Source, name: str, step: int) -> F32Array:
    shape = source.weights[name].shape
    rows, cols = as_rows(shape)
    out = np.empty((rows, cols), np.float32)
    for lo, hi in row_ranges(rows, cols, step):
        out[lo:hi] = source.decode_rows(name, lo, hi)
    return out.reshape(shape)
