"""Superblocks of 256 with a 6-bit scale and a 6-bit minimum per 32 weights: Q4_K and Q5_K.

First every sub-block gets its best scale and minimum. Then these are themselves quantized to six
bits, and the levels are computed again from what will be stored. Source: ggml's
quantize_row_q4_K_ref and its siblings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.asymmetric import Candidates, Fit, fit_scale_min, search_levels
from quantize.kernels.packing import split_subblocks, unpack_scales
from quantize.kernels.rounding import nearest_int, ordered_sum
from quantize.kernels.workspace import scratch

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]
F16Array = NDArray[np.float16]

SUB = 32
_TOP = np.float32(63)


@dataclass(frozen=True, slots=True)
class SixBit:
    """Encoded superblocks.

    `d` and `dmin` are `(S,)`, `scales` and `mins` `(8, S)`, `levels` `(32, 8, S)`.
    """

    d: F16Array
    dmin: F16Array
    scales: U8Array
    mins: U8Array
    levels: U8Array


def encode_sixbit(blocks: F32Array, candidates: Candidates) -> SixBit:
    """Encode superblocks `(S, 256)` without an importance matrix."""
    x = split_subblocks(blocks, SUB)
    magnitude = np.abs(x, out=scratch("weights", x.shape))
    energy = ordered_sum(np.multiply(x, x, out=scratch("product", x.shape)))
    weights = np.add(np.sqrt(energy / np.float32(SUB)), magnitude, out=magnitude)
    fit = fit_scale_min(x, weights, candidates)
    subs = (-1, len(blocks))
    d, scales = _to_six_bits(fit.scale.reshape(subs))
    dmin, mins = _to_six_bits(-fit.low.reshape(subs))
    return SixBit(d, dmin, scales, mins, _levels(x, fit, d, dmin, scales, mins, candidates.nmax))


def _to_six_bits(values: F32Array) -> tuple[F16Array, U8Array]:
    """Values `(8, S)` as levels 0 to 63 of their largest, and the float16 step `(S,)`."""
    top = np.maximum.reduce(values, axis=0)
    top[~(top > 0)] = 0
    inverse = np.where(top > 0, _TOP / top, np.float32(0))
    levels = nearest_int(inverse * values).astype(np.uint8)  # a negative one wraps, as in C
    return (top / _TOP).astype(np.float16), np.minimum(levels, np.uint8(63))


def _levels(
    x: F32Array,
    fit: Fit,
    d: F16Array,
    dmin: F16Array,
    scales: U8Array,
    mins: U8Array,
    nmax: int,
) -> U8Array:
    """Levels from the stored scales; those of the search where the stored scale is zero."""
    step = (d.astype(np.float32) * scales).reshape(-1)
    offset = (dmin.astype(np.float32) * mins).reshape(-1)
    levels = np.add(x, offset, out=scratch("levels", x.shape))
    np.divide(levels, step, out=levels)
    np.rint(levels, out=levels)
    np.clip(levels, 0, nmax, out=levels)
    kept = np.flatnonzero(step == 0)
    if kept.size:
        levels[:, kept] = search_levels(x, fit, nmax, kept)
    whole: U8Array = scratch("whole", (SUB, *scales.shape), np.uint8)
    np.copyto(whole.reshape(x.shape), levels, casting="unsafe")
    return whole


def decode_sixbit(d: F16Array, dmin: F16Array, scales: U8Array, levels: U8Array) -> F32Array:
    """Superblocks `(S, 256)` from 12 bytes of scales `(S, 12)` and levels `(S, 8, 32)`."""
    scale, low = unpack_scales(scales)
    step = d.astype(np.float32)[:, None] * scale
    offset = dmin.astype(np.float32)[:, None] * low
    out: F32Array = levels * step[:, :, None] - offset[:, :, None]
    return out.reshape(len(out), -1)
