"""IQ1_S: 256 weights on a grid of three levels, eight 3-bit scales. ggml's quantize_iq1_s."""

from __future__ import annotations

import numpy as np

from quantize.kernels.grids import grid
from quantize.kernels.importance import Importance
from quantize.kernels.packing import split_subblocks
from quantize.kernels.shifted import (
    GRID,
    SHIFT,
    Fit,
    ShiftSearch,
    fit_shifted,
    shared_scale,
    weights_of,
)
from quantize.kernels.splits import Candidates, Order, running_sum
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
)
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("d", "<f2"), ("qs", "u1", (32,)), ("qh", "<u2", (8,))])

SUB = 32

_PLACES = np.arange(0, 12, 3, dtype=np.uint16)  # of three bits for each group


def encode(
    blocks: F32Array, out: Blocks, importance: Importance | None, fit: Fit = fit_shifted
) -> None:
    x = split_subblocks(blocks, SUB)
    weights = weights_of(x, importance)
    fitted = fit(x, weights, RULE)
    d, levels = shared_scale(fitted.scale.reshape(8, -1))
    down = (fitted.shift[0].reshape(8, -1) < 0) & (d != 0)
    out["d"] = d * np.float32(1.125)
    number = fitted.number.astype(np.uint16).reshape(4, 8, -1).T
    out["qs"] = (number & 255).reshape(-1, 32)
    high = np.bitwise_or.reduce(np.left_shift(number >> 8, _PLACES), axis=2)
    out["qh"] = high | (levels | down << 3).T.astype(np.uint16) << 12


def _candidates(order: Order, x: F32Array, weights: F32Array) -> Candidates:
    """The sums of a candidate are those of its three parts."""
    sum_x = running_sum(np.take_along_axis(weights * x, order, axis=0))
    sum_w = running_sum(np.take_along_axis(weights, order, axis=0))
    for first in range(SUB + 1):
        shape = (SUB + 1 - first, 2, x.shape[1])
        sum_qx, sum_q2 = np.empty(shape, np.float32), np.empty(shape, np.float32)
        low_x, mid_x, high_x = _parts(sum_x, first)
        low_w, mid_w, high_w = _parts(sum_w, first)
        for kind, shift in enumerate((SHIFT, -SHIFT)):
            low, high = shift - np.float32(1), shift + np.float32(1)
            sum_qx[:, kind] = low_x * low + mid_x * shift + high_x * high
            sum_q2[:, kind] = low_w * low * low + mid_w * shift * shift + high_w * high * high
        yield sum_qx.reshape(-1, x.shape[1]), sum_q2.reshape(-1, x.shape[1])


def _parts(sums: F32Array, first: int) -> tuple[F32Array, F32Array, F32Array]:
    """Below the first boundary, between the two and above the second, for every second one."""
    return sums[first], sums[first:] - sums[first], sums[-1] - sums[first:]


RULE = ShiftSearch(
    epsilon=np.float32(1e-12),
    shifts=np.tile(np.array([[SHIFT], [-SHIFT]]), 4),
    candidates=_candidates,
)


def decode(blocks: Blocks) -> F32Array:
    high = np.right_shift(blocks["qh"][:, :, None], _PLACES) & 7
    number = blocks["qs"].reshape(-1, 8, 4) | np.left_shift(high, 8)
    levels = blocks["qh"] >> 12
    step = blocks["d"].astype(np.float32)[:, None] * (2 * (levels & 7) + 1).astype(np.float32)
    shift = np.where(levels > 7, -SHIFT, SHIFT)
    points = grid(GRID).points[number].astype(np.float32) - np.float32(1)
    out: F32Array = step[:, :, None, None] * (points + shift[:, :, None, None])
    return out.reshape(-1, 256)


IQ1_S = BlockQuantizer(
    GGML_TYPES["IQ1_S"], LAYOUT, encode, decode, chunk=256, takes_imatrix=True, needs_imatrix=True
)
