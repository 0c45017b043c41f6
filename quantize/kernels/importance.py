"""Weights of an importance matrix: `importance * sqrt(energy + x**2)`, as ggml's searches use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.rounding import ordered_sum
from quantize.kernels.workspace import scratch

F32Array = NDArray[np.float32]

_ROWS_AT_ONCE = 64  # side by side, they are added as vectors


@dataclass(frozen=True, slots=True)
class Importance:
    """An importance matrix, cut to the blocks of one chunk.

    `columns` is `(blocks, block_size)`; `row_energy` gives the mean square of the row that each
    block belongs to, `(blocks,)`, which few types ask for.
    """

    columns: F32Array
    row_energy: Callable[[], F32Array]


def importance_weights(x: F32Array, importance: F32Array, energy: F32Array) -> F32Array:
    """Weights of blocks in columns: `x` and `importance` are `(elements, B)`, `energy` `(B,)`."""
    weights: F32Array = np.multiply(x, x, out=scratch("weights", x.shape))
    np.add(weights, energy, out=weights)
    np.sqrt(weights, out=weights)
    return np.multiply(weights, importance, out=weights)


def energy_of(x: F32Array, blocks: int) -> F32Array:
    """Mean square of each block, `(blocks,)`, added one element after another.

    `x` is `(elements, subs * blocks)`: sub-blocks in columns, as `split_subblocks` gives them.
    """
    total = np.zeros(blocks, np.float32)
    squares = np.multiply(x, x, out=scratch("squares", x.shape)).reshape(len(x), -1, blocks)
    for sub in squares.swapaxes(0, 1):
        for elements in sub:
            np.add(total, elements, out=total)
    return total / np.float32(x.size // blocks)


def row_energy(rows: F32Array) -> F32Array:
    """Mean square of each row, `(n,)`, added one element after another."""
    parts = (rows[lo : lo + _ROWS_AT_ONCE] for lo in range(0, len(rows), _ROWS_AT_ONCE))
    sums = [ordered_sum(np.ascontiguousarray(np.square(part).T)) for part in parts]
    return np.concatenate(sums) / np.float32(rows.shape[1])
