"""Blocks side by side, one block per lane of a vector; or one block in all lanes.

Kernels that take one block per lane hold element i of LANES blocks in vector i of a scratch array.
For blocks a to p of four elements:

                 lane  0   1   2   3  ...  15
    vector 0          a0  b0  c0  d0  ...  p0      elements 0 to 15 of the scratch array
    vector 1          a1  b1  c1  d1  ...  p1      16 to 31
    vector 2          a2  b2  c2  d2  ...  p2      32 to 47
    vector 3          a3  b3  c3  d3  ...  p3      48 to 63

A sum over the elements of a block is then a sum of vectors, in the order that decides its bytes,
for LANES blocks at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import device
from quantize.kernels.compiled.rounding import at_least
from quantize.kernels.compiled.vector import LANES, Floats, load, store, swap_lanes

F32Array = NDArray[np.float32]


@device
def transpose_rows(blocks: F32Array, first: int, size: int, x: F32Array) -> None:
    """Element i of LANES blocks into vector i of `x`; lanes after the last block repeat it."""
    last = blocks.size // size - 1
    for lane in range(LANES):
        at = min(first + lane, last) * size
        for i in range(size):
            x[i * LANES + lane] = blocks[at + i]


@device
def load_columns(blocks: F32Array, first: int, x: F32Array) -> None:
    """The same for blocks that are columns, `(elements, B)`."""
    size, count = blocks.shape
    flat = blocks.reshape(-1)
    for i in range(size):
        if first + LANES <= count:
            store(x, i * LANES, load(flat, i * count + first))
        else:
            for lane in range(LANES):
                x[i * LANES + lane] = blocks[i, min(first + lane, count - 1)]


@device
def largest_lane(values: Floats) -> Floats:
    """The largest number of all lanes, in every lane."""
    values = at_least(values, swap_lanes(values, 1))
    values = at_least(values, swap_lanes(values, 2))
    values = at_least(values, swap_lanes(values, 4))
    return at_least(values, swap_lanes(values, 8))
