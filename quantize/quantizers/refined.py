"""Rows quantized for a metric: the same types and sizes, with codes chosen for what is read.

First each 256 columns get the scales that the type's own quantizer finds, with what an error in a
column costs as their importance; then kernels.compensation chooses the codes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from quantize.kernels.compensation import Coded, F32Array
from quantize.quantizers.base import BlockQuantizer, Quantizer, U8Array
from quantize.quantizers.grids import GRIDS
from quantize.registry import Registry

_SLAB = 256
# Rows that are worked on at a time, in weights: a few copies of them are made.
_AT_ONCE = 1 << 18

# Kernel set -> its module; each gives the same bytes.
COMPENSATIONS: Registry[Callable[..., Any]] = Registry(
    "kernels",
    "quantize.kernels",
    {
        "numpy factor": "compensation:factor",
        "numpy compensate": "compensation:compensate",
        "numpy descend": "compensation:descend",
        "numba factor": "compiled.compensation:factor",
        "numba compensate": "compiled.compensation:compensate",
        "numba descend": "compiled.compensation:descend",
    },
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A metric ready for use, all float32: H damped, its factor U, what columns cost `(cols,)`."""

    metric: F32Array
    factor: F32Array
    costs: F32Array


def prepared(metric: F32Array, damping: float, kernels: str) -> Prepared:
    """Damp and factor H, `(cols, cols)`."""
    damped, upper = COMPENSATIONS[f"{kernels} factor"](metric, damping)
    diagonal = np.diagonal(upper).astype(np.float64)
    costs = 1 / (diagonal * diagonal)
    # Only their ratios count; float32 sums of them must not overflow.
    return Prepared(damped, upper, (costs / costs.max()).astype(np.float32))


def refine(
    quantizer: Quantizer, rows: F32Array, metric: Prepared, sweeps: int, kernels: str
) -> U8Array:
    """The stored bytes of `rows`, float32 `(n, cols)`, which stay as they are."""
    height = max(1, _AT_ONCE // rows.shape[1])
    parts = [
        _refine(quantizer, rows[lo : lo + height], metric, sweeps, kernels)
        for lo in range(0, len(rows), height)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _refine(
    quantizer: Quantizer, rows: F32Array, metric: Prepared, sweeps: int, kernels: str
) -> U8Array:
    name = quantizer.type.name
    grid = GRIDS[name]
    layout = cast(BlockQuantizer, quantizer).layout
    exact = np.ascontiguousarray(rows, np.float32)
    moving = exact.copy()
    cols = exact.shape[1]
    out = np.empty((len(exact), quantizer.type.row_nbytes(cols)), np.uint8)
    slabs = []
    compensate = COMPENSATIONS[f"{kernels} compensate"]
    with np.errstate(all="ignore"):
        for lo in range(0, cols, _SLAB):
            hi = min(lo + _SLAB, cols)
            part = np.ascontiguousarray(moving[:, lo:hi])
            stored = quantizer.quantize(part, metric.costs[lo:hi])
            first, last = (quantizer.type.row_nbytes(at) if at else 0 for at in (lo, hi))
            out[:, first:last] = stored
            coded = grid.coded(stored.reshape(-1).view(layout), len(part))
            compensate(moving, lo, coded, metric.factor, grid.sub, grid.values, even=grid.even)
            slabs.append(coded)
        coded = _joined(slabs)
        COMPENSATIONS[f"{kernels} descend"](
            exact, coded, metric.metric, grid.sub, grid.values, grid.moves, sweeps,
            even=grid.even,
        )  # fmt: skip
        # Not all fields move: an exponent stays as the quantizer wrote it.
        grid.store(coded, out.reshape(-1).view(layout))
    return out


def _joined(slabs: list[Coded]) -> Coded:
    def joined(field: str) -> Any:
        return np.concatenate([getattr(slab, field) for slab in slabs], axis=1)

    return Coded(*(joined(field) for field in ("codes", "levels", "mins", "d", "dmin")))
