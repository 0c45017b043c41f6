"""Blocks side by side, one block per lane of a vector; or one block in all lanes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import part
from quantize.kernels.compiled.rounding import at_least
from quantize.kernels.compiled.vector import LANES, Floats, load, peers, store

F32Array = NDArray[np.float32]


@part
def spread(blocks: F32Array, first: int, size: int, x: F32Array) -> None:
    """Element i of LANES blocks into vector i of `x`; lanes after the last block repeat it."""
    last = blocks.size // size - 1
    for lane in range(LANES):
        at = min(first + lane, last) * size
        for i in range(size):
            x[i * LANES + lane] = blocks[at + i]


@part
def columns(blocks: F32Array, first: int, x: F32Array) -> None:
    """The same for blocks that are columns, `(elements, B)`."""
    size, count = blocks.shape
    flat = blocks.reshape(-1)
    for i in range(size):
        if first + LANES <= count:
            store(x, i * LANES, load(flat, i * count + first))
        else:
            for lane in range(LANES):
                x[i * LANES + lane] = blocks[i, min(first + lane, count - 1)]


@part
def largest_lane(values: Floats) -> Floats:
    """The largest number of all lanes, in every lane."""
    values = at_least(values, peers(values, 1))
    values = at_least(values, peers(values, 2))
    values = at_least(values, peers(values, 4))
    return at_least(values, peers(values, 8))
