"""Superblocks of IQ2 and IQ3: points of a grid with signs, and a 4-bit scale for each sub-block.

Signs are taken off first. Types with even signs store seven of eight and let the last one make the
number of minus signs even; where it is odd, the weight that costs least takes the wrong one.
Source: ggml's quantize_row_iq2_xs_impl and its siblings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.grid_search import GridSearch, search
from quantize.kernels.importance import Importance, importance_weights
from quantize.kernels.packing import in_order, split_subblocks
from quantize.kernels.rounding import nearest_int

F32Array = NDArray[np.float32]
I32Array = NDArray[np.int32]
U8Array = NDArray[np.uint8]

# `grid_search.search` or a twin of it.
Search = Callable[[F32Array, F32Array, GridSearch], tuple[F32Array, I32Array]]

# Scales are stored as levels 0 to 15, which stand for the odd numbers up to this one.
_TOP = np.float32(31)


@dataclass(frozen=True, slots=True)
class Format:
    """What the types differ in.

    `sub` weights share a scale. The energy of the superblock counts `energy` times along with an
    importance matrix, and `alone` times in the weights where there is none.
    """

    rule: GridSearch
    sub: int
    even_signs: bool
    energy: float
    alone: float = 0.0


@dataclass(frozen=True, slots=True)
class FittedGrid:
    """Superblocks in pieces.

    `d` is `(S,)`; `scales` `(S, subs)`, 0 to 15; `numbers` of points `(S, groups)`; `signs`
    `(S, 32)`, a bit for each weight, the first lowest.
    """

    d: F32Array
    scales: U8Array
    numbers: I32Array
    signs: U8Array


def fit(
    blocks: F32Array, importance: Importance | None, kind: Format, search: Search = search
) -> FittedGrid:
    """Superblocks `(S, 256)`, with or without an importance matrix."""
    x = split_subblocks(blocks, kind.sub)
    weights = _weights(x, blocks, importance, kind)
    signs = _take_signs(x, weights, kind)
    scale, numbers = search(x, weights, kind.rule)
    signs[:, scale < 0] ^= 255
    empty = numbers[0] < 0
    numbers[:, empty], signs[:, empty] = 0, 0

    subs = 256 // kind.sub
    numbers = in_order(numbers.reshape(-1, subs, len(blocks)))
    signs = in_order(signs.reshape(-1, subs, len(blocks)))
    scale = np.abs(scale).reshape(subs, -1)
    if kind.even_signs:
        blank = np.maximum.reduce(scale, axis=0) == 0
        numbers[blank], signs[blank] = 0, 0
    d, scales = _quantized(scale)
    return FittedGrid(d, scales, numbers, signs)


def _quantized(scale: F32Array) -> tuple[F32Array, U8Array]:
    """Scales `(subs, S)` as d `(S,)` and levels `(S, subs)`: about `d * (2 * level + 1)`."""
    d = np.maximum.reduce(scale, axis=0) / _TOP
    levels = nearest_int(np.float32(0.5) * (np.float32(1) / d * scale - np.float32(1)))
    stored: U8Array = np.clip(levels, 0, 15).astype(np.uint8)
    return d, stored.T


def _weights(
    x: F32Array, blocks: F32Array, importance: Importance | None, kind: Format
) -> F32Array:
    total = np.add.accumulate(blocks * blocks, axis=1)[:, -1]
    energy = np.float32(kind.energy) * total / np.float32(blocks.shape[1])
    energy = np.tile(energy, x.shape[1] // len(blocks))
    if importance is not None:
        columns = split_subblocks(importance.columns, kind.sub, "importance")
        return importance_weights(x, columns, energy)
    weights: F32Array = x * x
    return np.float32(kind.alone) * energy + weights if kind.alone else weights


def _take_signs(x: F32Array, weights: F32Array, kind: Format) -> U8Array:
    """Makes `x` positive and gives the signs, a byte for eight elements: `(elements / 8, B)`."""
    eights = (-1, 8, x.shape[1])
    negative = (x < 0).reshape(eights)
    np.abs(x, out=x)
    signs: U8Array = np.packbits(negative, axis=1, bitorder="little")[:, 0]
    if kind.even_signs:
        byte, column = np.nonzero(np.logical_xor.reduce(negative, axis=1))
        values = x.reshape(eights)
        some = values[byte, :, column]
        least = np.argmin(weights.reshape(eights)[byte, :, column] * some * some, axis=1)
        values[byte, least, column] *= -1
        signs[byte, column] ^= np.left_shift(1, least).astype(np.uint8)
    return signs
