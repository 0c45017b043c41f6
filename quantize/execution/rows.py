"""The rows of a planned tensor: read, decoded and transformed, before they have a type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from quantize.arrays import F32Array, U8Array
from quantize.checkpoints.source import Element, RowSource, gather_rows
from quantize.planning.plan import PlannedTensor
from quantize.tensors import (
    Shape,
    as_rows,
)
from quantize.transforms import ZEROS, RowTransform, WholeTensorTransform, split_at_whole


def planned_rows(source: RowSource, tensor: PlannedTensor, lo: int, hi: int, step: int) -> F32Array:
    """Rows lo..hi of `tensor.full_shape` as float32 (hi - lo, cols).

    Of a tensor whose transform mixes columns, the slices with these rows are made complete for
    that, from sources that are read `step` elements at a time.
    """
    if tensor.values is not None:
        values = np.frombuffer(tensor.values, "<f4").reshape(tensor.rows, tensor.cols)
        return values[lo:hi]
    # What overflows is refused with its place, which says more than a warning.
    with np.errstate(over="ignore", invalid="ignore"):
        transform = tensor.transform
        if transform.needs_whole_tensor:
            return _mixed(source, tensor, transform, lo, hi, step)
        return transform.values(_decoded(source, tensor, transform, lo, hi))


def stored_blocks(source: RowSource, tensor: PlannedTensor, lo: int, hi: int) -> U8Array:
    """Rows lo..hi of a repacked tensor: uint8 (hi - lo, row_nbytes) of its type."""
    if tensor.transform.needs_whole_tensor:
        raise TypeError(f"{tensor.name}: blocks can be moved by rows only")
    return _gathered(source, source.repack_rows, tensor, tensor.transform, lo, hi)


def row_ranges(rows: int, cols: int, step: int) -> Iterator[tuple[int, int]]:
    """0..rows in ranges of at most `step` elements, or of one row."""
    height = max(1, step // max(cols, 1))
    return ((lo, min(lo + height, rows)) for lo in range(0, rows, height))


def _gathered(
    source: RowSource,
    read: Callable[[str, int, int], NDArray[Element]],
    tensor: PlannedTensor,
    transform: RowTransform,
    lo: int,
    hi: int,
) -> NDArray[Element]:
    """Rows lo..hi of what `transform` makes of the sources, before its element map."""
    pieces = [
        _zeros(partial(read, tensor.sources[0]), len(rows))
        if index == ZEROS
        else gather_rows(partial(read, tensor.sources[index]), rows)
        for index, rows in transform.rows(_shapes(source, tensor), lo, hi)
    ]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _zeros(read: Callable[[int, int], NDArray[Element]], count: int) -> NDArray[Element]:
    """`count` rows of zeros, as wide as the rows that `read` gives."""
    return np.repeat(np.zeros_like(read(0, 1)), count, axis=0)


def _mixed(
    source: RowSource,
    tensor: PlannedTensor,
    transform: WholeTensorTransform,
    lo: int,
    hi: int,
    step: int,
) -> F32Array:
    """Rows lo..hi of a tensor whose columns are mixed, out of the slices that hold them."""
    moving, mixing = split_at_whole(transform)
    shape = moving.shape(_shapes(source, tensor))
    rows, cols = as_rows(shape)
    slice_shape = (shape[0] // tensor.slices, *shape[1:])
    slice_rows, height = rows // tensor.slices, tensor.rows // tensor.slices
    made = []
    for start in range(lo // height, -(-hi // height)):
        part = np.empty((slice_rows, cols), np.float32)
        for a, b in row_ranges(slice_rows, cols, step):
            at = start * slice_rows
            part[a:b] = moving.values(_decoded(source, tensor, moving, at + a, at + b))
        made.append(mixing.apply([part.reshape(slice_shape)]).reshape(height, tensor.cols))
    joined = made[0] if len(made) == 1 else np.concatenate(made)
    return joined[lo - lo // height * height :][: hi - lo]


def _decoded(
    source: RowSource, tensor: PlannedTensor, transform: RowTransform, lo: int, hi: int
) -> F32Array:
    return _gathered(source, source.decode_rows, tensor, transform, lo, hi)


def _shapes(source: RowSource, tensor: PlannedTensor) -> list[Shape]:
    return [source.weights[name].shape for name in tensor.sources]
