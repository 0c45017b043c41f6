"""IQ1_M: 256 weights on a grid of three levels, sixteen 3-bit scales. ggml's quantize_iq1_m."""

from __future__ import annotations

import numpy as np

from quantize.kernels.grids import grid
from quantize.kernels.importance import Importance
from quantize.kernels.packing import split_subblocks
from quantize.kernels.rounding import ordered_sum
from quantize.kernels.shifted import (
    GRID,
    GROUP,
    SHIFT,
    Fit,
    ShiftedFit,
    ShiftSearch,
    fit_shifted,
    shared_scale,
    shifted_levels,
    weights_of,
)
from quantize.kernels.splits import Candidates, I32Array, Order, running_sum
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
)
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("qs", "u1", (32,)), ("qh", "u1", (16,)), ("scales", "<u2", (4,))])

SUB = 16

_SCALE_BITS = np.arange(0, 12, 3, dtype=np.uint16)
_D_BITS = np.arange(0, 16, 4, dtype=np.uint16)  # the scale's float16 is cut in four


def encode(
    blocks: F32Array, out: Blocks, importance: Importance | None, fit: Fit = fit_shifted
) -> None:
    x = split_subblocks(blocks, SUB)
    weights = weights_of(x, importance)
    fitted = fit(x, weights, RULE)
    d, levels = shared_scale(fitted.scale.reshape(16, -1))
    down = (fitted.shift.reshape(2, 16, -1) < 0) & (d != 0)
    d = np.where(d == 0, np.float32(0), _refined(x, weights, fitted, levels, d))
    half = (d * np.float32(1.1125)).astype(np.float16).view(np.uint16)

    number = fitted.number.astype(np.uint16).reshape(2, 16, -1)
    out["qs"] = (number & 255).T.reshape(-1, 32)
    first, second = number >> 8 | down.astype(np.uint16) << 3
    out["qh"] = (first | second << 4).T
    scales = np.left_shift(levels.T.astype(np.uint16).reshape(-1, 4, 4), _SCALE_BITS)
    out["scales"] = np.bitwise_or.reduce(scales, axis=2) | half[:, None] >> _D_BITS << 12


def _refined(
    x: F32Array, weights: F32Array, fitted: ShiftedFit, levels: I32Array, d: F32Array
) -> F32Array:
    """The scale of superblocks that fits all that is stored but itself."""
    values = shifted_levels(fitted.number, fitted.shift).reshape(x.shape)
    values *= (2 * levels + 1).astype(np.float32).reshape(-1)
    product = weights * values
    sum_qx = ordered_sum(_by_superblock(product * x))
    sum_q2 = ordered_sum(_by_superblock(product * values))
    return np.where(sum_q2 > 0, sum_qx / sum_q2, d)


def _by_superblock(values: F32Array) -> F32Array:
    """Sub-blocks in columns as superblocks in columns, `(256, S)`."""
    return values.reshape(SUB, 16, -1).swapaxes(0, 1).reshape(256, -1)


def _candidates(order: Order, x: F32Array, weights: F32Array) -> Candidates:
    """The sums of a candidate are those of its two groups, each with a shift of its own.

    A step up by one level costs the same everywhere, so a group's sums are those of all its weights
    on the highest level, less a share of the running sums at either boundary.
    """
    blocks = x.shape[1]
    half = order // GROUP == np.arange(2)[:, None, None]
    of_x, of_w = (
        running_sum(np.where(half, np.take_along_axis(values, order, axis=0), 0).swapaxes(0, 1))
        for values in (weights * x, weights)
    )
    shifts = np.array([SHIFT, -SHIFT])[:, None, None]
    low, high = shifts - np.float32(1), shifts + np.float32(1)
    first_step, second_step = low * low - shifts * shifts, shifts * shifts - high * high
    top_x, top_w = of_x[-1] * high, of_w[-1] * high * high  # (shift, half, B)
    for first in range(SUB + 1):
        steps = (of_x[first] + of_x[first:])[:, None]
        qx = top_x - steps
        q2 = top_w + of_w[first] * first_step + of_w[first:, None] * second_step
        sum_qx, sum_q2 = (v[:, :, None, 0] + v[:, None, :, 1] for v in (qx, q2))
        yield sum_qx.reshape(-1, blocks), sum_q2.reshape(-1, blocks)


RULE = ShiftSearch(
    epsilon=np.float32(1e-7),
    shifts=SHIFT * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], np.float32),
    candidates=_candidates,
)


def decode(blocks: Blocks) -> F32Array:
    half = np.bitwise_or.reduce(blocks["scales"] >> 12 << _D_BITS, axis=1)
    levels = (blocks["scales"][:, :, None] >> _SCALE_BITS & 7).reshape(-1, 16)
    step = half.view(np.float16).astype(np.float32)[:, None] * (2 * levels + 1).astype(np.float32)
    high = blocks["qh"][:, :, None] >> np.array([0, 4], np.uint8)
    number = blocks["qs"].reshape(-1, 16, 2) | (high & 7).astype(np.uint16) << 8
    shift = np.where(high & 8, -SHIFT, SHIFT)
    points = grid(GRID).points[number].astype(np.float32) - np.float32(1)
    out: F32Array = step[:, :, None, None] * (points + shift[..., None])
    return out.reshape(-1, 256)


IQ1_M = BlockQuantizer(GGML_TYPES["IQ1_M"], LAYOUT, encode, decode, chunk=256, takes_imatrix=True)
