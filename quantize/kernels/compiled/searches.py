"""The compiled searches with the arguments and the results of NumPy's: see `kernels.searches`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from quantize.kernels import asymmetric, codebook, refinement, symmetric
from quantize.kernels.asymmetric import Candidates, Fit
from quantize.kernels.compiled.asymmetric import FOUND, fit_columns
from quantize.kernels.compiled.codebook import fit_iq4_columns
from quantize.kernels.compiled.refinement import fit_positive_columns, fit_refined_columns
from quantize.kernels.compiled.symmetric import fit_signed_columns
from quantize.kernels.compiled.vector import LANES
from quantize.kernels.searches import Searches
from quantize.kernels.symmetric import SignedFit

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]


def fit_scale_min(x: F32Array, weights: F32Array, candidates: Candidates) -> Fit:
    """Where values leave the range of plain rounding, the reference does the work."""
    found = _room(x, np.float32, FOUND)
    ranges, power = np.array(candidates.ranges()), 1 if candidates.absolute else 2
    if not fit_columns(x, weights, candidates.nmax, ranges, power, found.reshape(-1)):
        return asymmetric.fit_scale_min(x, weights, candidates)
    scale, low, level_range, level_low, high, flat = found[:, : x.shape[1]]
    return Fit(scale, low, level_range, level_low, high, flat > 0)


def fit_signed(x: F32Array, nmax: int, weights: F32Array | None = None) -> SignedFit:
    if weights is None:
        weights = x * x
    scale, inverse = _room(x, np.float32, 2)
    fit_signed_columns(x, weights, nmax, symmetric.trial_maxima(nmax), scale, inverse)
    return SignedFit(scale[: x.shape[1]], inverse[: x.shape[1]])


def fit_refined(x: F32Array, nmax: int) -> tuple[F32Array, U8Array]:
    (scale,), levels = _room(x, np.float32, 1), _room(x, np.uint8, len(x))
    fit_refined_columns(x, nmax, scale, levels.reshape(-1))
    return scale[: x.shape[1]], levels[:, : x.shape[1]]


def fit_positive(x: F32Array, nmax: int, weights: F32Array) -> tuple[F32Array, U8Array]:
    (scale,), levels = _room(x, np.float32, 1), _room(x, np.uint8, len(x))
    trial_maxima = refinement.positive_trial_maxima(nmax)
    fit_positive_columns(x, weights, nmax, trial_maxima, scale, levels.reshape(-1))
    return scale[: x.shape[1]], levels[:, : x.shape[1]]


def fit_iq4(x: F32Array, weights: F32Array) -> F32Array:
    scale: F32Array = _room(x, np.float32, 1)[0]
    fit_iq4_columns(x, weights, codebook.IQ4_TRIAL_MAXIMA, scale)
    return scale[: x.shape[1]]


def _room(x: F32Array, dtype: DTypeLike, rows: int) -> NDArray[Any]:
    """Rows with an element for each column of `x`, and then some: whole vectors are stored."""
    return np.empty((rows, -(-x.shape[1] // LANES) * LANES), dtype)


COMPILED = Searches(fit_scale_min, fit_signed, fit_refined, fit_positive, fit_iq4)
