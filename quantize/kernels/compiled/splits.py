"""The search for three levels, compiled: sixteen sorted blocks side by side through all splits.

Twin of `kernels.splits` with the candidates of IQ1_S and IQ1_M.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import device
from quantize.kernels.compiled.vector import (
    LANES,
    Floats,
    Ints,
    choose,
    choose_int,
    load,
    mask_bits,
    splat,
    splat_int,
    store,
)

F32Array = NDArray[np.float32]
I32Array = NDArray[np.int32]

# Running sums over a sorted block: of weight times value, and of weights. For IQ1_M the weights of
# the left half of the block make these, and those of the right half two more.
OF_X, OF_W, RIGHT_X, RIGHT_W = (i * 33 * LANES for i in range(4))
SUMS = 4 * 33 * LANES

_LOWEST = -np.finfo(np.float32).max


@device
def search(sums: F32Array, size: int, scale: F32Array, number: I32Array) -> None:
    """The best scale of sixteen blocks, and the number of its candidate or -1."""
    if size == 32:
        best, candidate = _search_whole(sums, size)
    else:
        best, candidate = _search_halves(sums, size)
    store(scale, 0, best)
    store(number, 0, candidate)


@device
def _search_whole(sums: F32Array, size: int) -> tuple[Floats, Ints]:
    """IQ1_S: all levels move up, or all move down."""
    score, scale, number = splat(_LOWEST), splat(0.0), splat_int(-1)
    all_x, all_w = load(sums, OF_X + size * LANES), load(sums, OF_W + size * LANES)
    count = 0
    for first in range(size + 1):
        low_x, low_w = load(sums, OF_X + first * LANES), load(sums, OF_W + first * LANES)
        for second in range(first, size + 1):
            at_x, at_w = load(sums, OF_X + second * LANES), load(sums, OF_W + second * LANES)
            mid_x, mid_w, high_x, high_w = at_x - low_x, at_w - low_w, all_x - at_x, all_w - at_w
            for kind in range(2):
                shift = splat(0.125 - 0.25 * kind)
                low, high = shift - splat(1.0), shift + splat(1.0)
                common = low_x * low + mid_x * shift + high_x * high
                energy = low_w * low * low + mid_w * shift * shift + high_w * high * high
                score, scale, number = _take(common, energy, count, score, scale, number)
                count += 1
    return scale, number


@device
def _search_halves(sums: F32Array, size: int) -> tuple[Floats, Ints]:
    """IQ1_M: either half moves up or down."""
    score, scale, number = splat(_LOWEST), splat(0.0), splat_int(-1)
    up, down = splat(1.125), splat(0.875)  # the highest level
    end = size * LANES
    left_x, left_w = load(sums, OF_X + end), load(sums, OF_W + end)
    right_x, right_w = load(sums, RIGHT_X + end), load(sums, RIGHT_W + end)
    count = 0
    for first in range(size + 1):
        i = first * LANES
        for second in range(first, size + 1):
            j = second * LANES
            steps = load(sums, OF_X + i) + load(sums, OF_X + j)
            left_up, left_down = left_x * up - steps, left_x * down - steps
            steps = load(sums, RIGHT_X + i) + load(sums, RIGHT_X + j)
            right_up, right_down = right_x * up - steps, right_x * down - steps
            at_first, at_second = load(sums, OF_W + i), load(sums, OF_W + j)
            energy_up, energy_down = _energies(left_w, at_first, at_second)
            at_first, at_second = load(sums, RIGHT_W + i), load(sums, RIGHT_W + j)
            also_up, also_down = _energies(right_w, at_first, at_second)
            best = score, scale, number
            best = _take(left_up + right_up, energy_up + also_up, count, *best)
            best = _take(left_up + right_down, energy_up + also_down, count + 1, *best)
            best = _take(left_down + right_up, energy_down + also_up, count + 2, *best)
            best = _take(left_down + right_down, energy_down + also_down, count + 3, *best)
            score, scale, number = best
            count += 4
    return scale, number


@device
def _energies(total: Floats, at_first: Floats, at_second: Floats) -> tuple[Floats, Floats]:
    """Of levels moved up, and down: what a step at either boundary saves comes off the highest."""
    up, down = splat(1.125), splat(0.875)
    energy_up = total * up * up + at_first * splat(0.75) + at_second * splat(-1.25)
    return energy_up, total * down * down + at_first * splat(1.25) + at_second * splat(-0.75)


@device
def _take(
    common: Floats, energy: Floats, count: int, score: Floats, scale: Floats, number: Ints
) -> tuple[Floats, Floats, Ints]:
    """Score, scale and number with this candidate where it is better."""
    better = (energy > splat(0.0)) & (common * common > score * energy)
    if mask_bits(better) != 0:
        fitted = common / energy
        scale = choose(better, fitted, scale)
        score = choose(better, fitted * common, score)
        number = choose_int(better, splat_int(count), number)
    return score, scale, number
