"""Weights of an importance matrix: `importance * sqrt(energy + x**2)`, as ggml's searches use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.workspace import scratch

F32Array = NDArray[np.float32]


def importance_weights(x: F32Array, importance: F32Array, energy: F32Array) -> F32Array:
    """Weights of blocks in columns: `x` and `importance` are `(elements, B)`, `energy` `(B,)`."""
    weights: F32Array = np.multiply(x, x, out=scratch("weights", x.shape))
    np.add(weights, energy, out=weights)
    np.sqrt(weights, out=weights)
    return np.multiply(weights, importance, out=weights)


def energy_of(blocks: F32Array) -> F32Array:
    """Mean square of each block in rows, `(B, size)`, added one element after another."""
    total: F32Array = np.add.accumulate(blocks * blocks, axis=1)[:, -1]
    return total / np.float32(blocks.shape[1])
