"""Superblocks of 256 weights with a quantized scale and minimum per sub-block: Q2_K, Q4_K, Q5_K.

First every sub-block gets its best scale and minimum. These are themselves quantized, and the
levels are computed again from what is stored. Source: ggml's quantize_row_q4_K_ref and
quantize_row_q4_K_impl, and their siblings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.asymmetric import Candidates, Fit, search_levels
from quantize.kernels.importance import Importance, energy_of, importance_weights
from quantize.kernels.packing import split_subblocks
from quantize.kernels.rounding import nearest_int, ordered_sum, round_in_place
from quantize.kernels.searches import Searches
from quantize.kernels.workspace import scratch

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]
F16Array = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Search:
    """How a type finds its scales.

    `sub` weights share a scale and a minimum, which are stored as levels 0 to `top`. Without an
    importance matrix `candidates` are tried with `weights` (from `(sub, B)` to the same shape);
    with one, `weighted` candidates with the matrix, and energy counts `energy_factor` times.
    """

    sub: int
    top: int
    candidates: Candidates
    weights: Callable[[F32Array], F32Array]
    weighted: Candidates
    energy_factor: int


@dataclass(frozen=True, slots=True)
class Fitted:
    """Superblocks before their levels.

    `x` is `(sub, subs * S)`, `fit` the search's; `d` and `dmin` are `(S,)`, `scales` and `mins`
    `(subs, S)`. A scale below zero, which rounding can make of noise, wraps around in uint8.
    """

    x: F32Array
    fit: Fit
    nmax: int
    d: F16Array
    dmin: F16Array
    scales: U8Array
    mins: U8Array


def deviation_weights(x: F32Array) -> F32Array:
    """Magnitude plus the block's root mean square, the weights of Q4_K and Q5_K."""
    energy = ordered_sum(np.multiply(x, x, out=scratch("product", x.shape)))
    weights = magnitude_weights(x)
    np.add(weights, np.sqrt(energy / np.float32(len(x))), out=weights)
    return weights


def magnitude_weights(x: F32Array) -> F32Array:
    """The weights of Q2_K."""
    weights: F32Array = np.abs(x, out=scratch("weights", x.shape))
    return weights


def fit_superblocks(
    blocks: F32Array, search: Search, importance: Importance | None, searches: Searches
) -> Fitted:
    """Find scales and mins of superblocks `(S, 256)`, with or without an importance matrix."""
    x = split_subblocks(blocks, search.sub)
    subs = (-1, len(blocks))
    if importance is None:
        fit = searches.scale_min(x, search.weights(x), search.candidates)
        d, scales = share_of_largest(fit.scale.reshape(subs), search.top)
        dmin, mins = share_of_largest(-fit.low.reshape(subs), search.top)
    else:
        energy = np.float32(search.energy_factor) * energy_of(x, len(blocks))
        columns = split_subblocks(importance.columns, search.sub, "importance")
        weights = importance_weights(x, columns, np.tile(energy, x.shape[1] // len(blocks)))
        sub_weights = ordered_sum(weights).reshape(subs)
        fit = searches.scale_min(x, weights, search.weighted)
        d, scales = searches.positive(fit.scale.reshape(subs), search.top, sub_weights)
        dmin, mins = searches.positive(-fit.low.reshape(subs), search.top, sub_weights)
    half = np.float16
    return Fitted(x, fit, search.weighted.nmax, d.astype(half), dmin.astype(half), scales, mins)


def stored_levels(fitted: Fitted, scales: U8Array, mins: U8Array) -> U8Array:
    """Levels `(sub, subs, S)` from scales and mins as they are read back, `(S, subs)` each.

    Where the stored scale is zero the levels of the search stay.
    """
    x = fitted.x
    step = (fitted.d.astype(np.float32) * scales.T).reshape(-1)
    offset = (fitted.dmin.astype(np.float32) * mins.T).reshape(-1)
    kept = np.flatnonzero(step == 0)
    step[kept] = 1
    levels = np.add(x, offset, out=scratch("levels", x.shape))
    np.divide(levels, step, out=levels)
    round_in_place(levels)
    np.clip(levels, 0, fitted.nmax, out=levels)
    if kept.size:
        levels[:, kept] = search_levels(x, fitted.fit, fitted.nmax, kept)
    whole: U8Array = scratch("whole", (len(x), *fitted.scales.shape), np.uint8)
    np.copyto(whole.reshape(x.shape), levels, casting="unsafe")
    return whole


def restored(
    d: F16Array, dmin: F16Array, scales: U8Array, mins: U8Array, levels: U8Array
) -> F32Array:
    """Weights `(S, 256)`; scales and mins are `(S, subs)`, levels `(S, subs, sub)`."""
    step = d.astype(np.float32)[:, None] * scales
    offset = dmin.astype(np.float32)[:, None] * mins
    out: F32Array = levels * step[:, :, None] - offset[:, :, None]
    return out.reshape(len(out), -1)


def share_of_largest(values: F32Array, top: int) -> tuple[F32Array, U8Array]:
    """Values `(subs, S)` as levels up to `top` for the largest, and the step `(S,)`."""
    largest = np.maximum.reduce(values, axis=0)
    largest[~(largest > 0)] = 0
    inverse = np.divide(np.float32(top), largest)
    inverse[largest == 0] = 0
    return largest / np.float32(top), nearest_int(inverse * values).astype(np.uint8)
