"""The search for three levels: two boundaries among the sorted weights of a block, all pairs tried.

IQ1_S and IQ1_M use it. Source: ggml's quantize_row_iq1_s_impl and quantize_row_iq1_m_impl.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32Array = NDArray[np.float32]
I32Array = NDArray[np.int32]
Order = NDArray[np.intp]

# Pieces `(n, B)` of two sums for each candidate: what weights and levels have in common, and the
# energy of the levels. There is a piece for each first boundary, with all second boundaries from
# there on and, counting faster, all kinds of levels.
Candidates = Iterator[tuple[F32Array, F32Array]]

_LOWEST = -np.finfo(np.float32).max


@dataclass(frozen=True, slots=True)
class BestSplit:
    """The best split of each block, `(B,)` each.

    `first` weights have the lowest level and all from `second` on the highest. The scale is
    negative where they do so in descending order; `found` is false where no levels have energy.
    """

    scale: F32Array
    first: Order
    second: Order
    kind: Order
    found: NDArray[np.bool_]

    def levels(self, order: Order) -> I32Array:
        """Levels 0, 1, 2 `(elements, B)` of weights that are sorted by `order`."""
        place = np.arange(len(order))[:, None]
        of_sorted = (place >= self.first).astype(np.int32) + (place >= self.second)
        levels = np.empty(order.shape, np.int32)
        np.put_along_axis(levels, order, of_sorted, axis=0)
        return np.where(self.scale < 0, 2 - levels, levels)


def best_split(candidates: Candidates, size: int, kinds: int, blocks: int) -> BestSplit:
    """Take each candidate that is better than the last one taken, by the arithmetic of ggml."""
    score = np.full(blocks, _LOWEST)
    scale = np.zeros(blocks, np.float32)
    number = np.full(blocks, -1)
    bound, better = np.empty_like(score), np.empty(blocks, np.bool_)
    count = 0
    for sums_qx, sums_q2 in candidates:
        squares = sums_qx * sums_qx
        squares[~(sums_q2 > 0)] = (
            np.nan
        )  # NaN compares false, so a candidate without energy never wins
        for sum_qx, sum_q2, square in zip(sums_qx, sums_q2, squares, strict=True):
            np.multiply(score, sum_q2, out=bound)
            np.greater(square, bound, out=better)
            taken = np.flatnonzero(better)
            if taken.size:
                common = sum_qx[taken]
                scale[taken] = fitted = common / sum_q2[taken]
                score[taken] = fitted * common
                number[taken] = count
            count += 1
    pair, kind = np.divmod(np.maximum(number, 0), kinds)
    first, second = (boundary[pair] for boundary in np.triu_indices(size + 1))
    return BestSplit(scale, first, second, kind, number >= 0)


def running_sum(values: F32Array) -> F32Array:
    """Of `(elements, ...)` the sums of the first 0, 1, 2 ... elements."""
    sums = np.zeros((len(values) + 1, *values.shape[1:]), np.float32)
    np.add.accumulate(values, axis=0, out=sums[1:])
    return sums
