"""The search for a signed scale: x is about `scale * level`, level from -nmax to nmax - 1.

Q6_K uses it (with an importance matrix Q3_K, Q4_0 and Q5_0 too). The value of largest magnitude
takes level -nmax, which exists, and so decides the sign of the scale. Source: ggml's
make_qx_quants with weights x**2 or those of an importance matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.rounding import ordered_sum
from quantize.kernels.workspace import scratch

F32Array = NDArray[np.float32]

# ggml's GROUP_MAX_EPS: a block of nothing larger is a block of zeros.
NOTHING = np.float32(1e-15)

# What the largest value is scaled to is moved by tenths around -nmax.
_TENTHS = np.array([0, *(i for i in range(-9, 10) if i != 0)], np.float32) * np.float32(0.1)


@dataclass(frozen=True, slots=True)
class SignedFit:
    """The best scale of each block and the factor its levels were rounded with, `(B,)` each.

    Both are 0 in a block of zeros.
    """

    scale: F32Array
    inverse: F32Array

    def take(self, columns: NDArray[np.intp]) -> SignedFit:
        """The fits of some blocks only."""
        return SignedFit(self.scale[columns], self.inverse[columns])


def fit_signed(x: F32Array, nmax: int, weights: F32Array | None = None) -> SignedFit:
    """Search the scale of every block of `x`, `(elements, B)`. Weights default to x**2."""
    top = largest(x)
    zero = np.abs(top) < NOTHING
    top[zero] = 1
    if weights is None:
        weights = np.multiply(x, x, out=scratch("weights", x.shape))
    weighted = np.multiply(weights, x, out=scratch("weighted", x.shape))

    first, *others = trial_maxima(nmax)
    inverse = first / top
    sum_lx, sum_l2 = _sums(x, weights, weighted, inverse, nmax)
    scale = np.where(sum_l2 != 0, sum_lx / sum_l2, np.float32(0))
    best = scale * sum_lx
    for trial in others:
        candidate = trial / top
        sum_lx, sum_l2 = _sums(x, weights, weighted, candidate, nmax)
        taken = np.flatnonzero((sum_l2 > 0) & (sum_lx * sum_lx > best * sum_l2))
        scale[taken] = sum_lx[taken] / sum_l2[taken]
        best[taken] = scale[taken] * sum_lx[taken]
        inverse[taken] = candidate[taken]
    scale[zero] = 0
    inverse[zero] = 0
    return SignedFit(scale, inverse)


def trial_maxima(nmax: int) -> F32Array:
    """What the largest value is scaled to: first -nmax, then the candidates around it."""
    return -(np.float32(nmax) + _TENTHS)


def largest(x: F32Array) -> F32Array:
    """The value of largest magnitude in each column of `(elements, B)`, the first where two tie."""
    low = np.minimum.reduce(x, axis=0)
    top: F32Array = np.maximum.reduce(x, axis=0)
    below = -low > top
    top[below] = low[below]
    tied = np.flatnonzero(-low == top)
    first = np.argmax(np.abs(x[:, tied]), axis=0)
    top[tied] = x[first, tied]
    return top


def search_levels(x: F32Array, fit: SignedFit, nmax: int) -> F32Array:
    """Levels that the search ended with, moved up by nmax; all 0 in a block of zeros."""
    levels = signed_levels(x, fit.inverse, nmax, np.empty_like(x))
    np.add(levels, nmax, out=levels)
    levels[:, fit.inverse == 0] = 0
    return levels


def signed_levels(x: F32Array, inverse: F32Array, nmax: int, out: F32Array) -> F32Array:
    """Levels from -nmax to nmax - 1 of `x * inverse`."""
    np.multiply(x, inverse, out=out)
    np.rint(out, out=out)
    return np.clip(out, -nmax, nmax - 1, out=out)


def _sums(
    x: F32Array, weights: F32Array, weighted: F32Array, inverse: F32Array, nmax: int
) -> tuple[F32Array, F32Array]:
    levels = signed_levels(x, inverse, nmax, scratch("levels", x.shape))
    product = scratch("product", x.shape)
    sum_lx = ordered_sum(np.multiply(weighted, levels, out=product))
    np.multiply(weights, levels, out=product)
    sum_l2 = ordered_sum(np.multiply(product, levels, out=product))
    return sum_lx, sum_l2
