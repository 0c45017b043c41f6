"""What is added up of the inputs of matrix products: squares of columns, or all products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from quantize.arrays import F32Array
from quantize.evaluation.activations import I32Array

F64Array = NDArray[np.float64]


@dataclass(slots=True)
class Sums:
    """By the name of a product: sums over its inputs, and over how many of each matrix.

    `product` is what is added up of inputs `(tokens, cols)`: their squares, `(cols,)`, or all
    their products, `(cols, cols)`. `of` is the name under which a product's sums are, as
    neighbours share their inputs.
    """

    product: Callable[[F32Array], NDArray[np.floating]]
    shares: bool
    sums: dict[str, F64Array] = field(default_factory=dict)
    counts: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    of: dict[str, str] = field(default_factory=dict)
    _taken: list[tuple[str, F32Array, I32Array | None, int]] = field(default_factory=list)

    def take(
        self, name: str, key: str, inputs: F32Array, ids: I32Array | None, matrices: int
    ) -> None:
        """Remember inputs of a product, see activations.Watcher."""
        if self.shares:
            self.of[name] = key
            if key != name:
                return
        self._taken.append((name, inputs, ids, matrices))

    def add_up(self) -> None:
        """Add what was taken. Not at once: llama.cpp's threads wait busily while it calls back."""
        for name, inputs, ids, matrices in self._taken:
            if ids is None:
                self._add(name, matrices, 0, inputs[:, 0])
                continue
            for matrix in np.unique(ids):
                self._add(name, matrices, int(matrix), inputs[ids == matrix])
        self._taken.clear()

    def _add(self, name: str, matrices: int, matrix: int, inputs: F32Array) -> None:
        found = self.product(inputs)
        if name not in self.sums:
            self.sums[name] = np.zeros((matrices, *found.shape))
            self.counts[name] = np.zeros(matrices, np.int64)
        self.sums[name][matrix] += found
        self.counts[name][matrix] += len(inputs)


def squares() -> Sums:
    """Of an importance matrix: squares by column, of each product under its own name."""
    return Sums(lambda inputs: np.einsum("ij,ij->j", inputs, inputs), shares=False)


def products() -> Sums:
    """X^T X, once for neighbours with the same inputs."""
    return Sums(lambda inputs: inputs.T @ inputs, shares=True)
