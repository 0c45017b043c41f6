"""Compiled twins of IQ1_S and IQ1_M: their search, in the place of the reference's."""

from __future__ import annotations

import numpy as np

from quantize.kernels.compiled import shifted
from quantize.kernels.grids import grid
from quantize.kernels.importance import Importance
from quantize.kernels.shifted import GRID, GROUP, SHIFT, ShiftedFit, ShiftSearch
from quantize.quantizers import iq1_m, iq1_s
from quantize.quantizers.base import (
    Blocks,
    F32Array,
)


def encode_iq1_s(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    iq1_s.encode(blocks, out, importance, _fit)


def encode_iq1_m(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    iq1_m.encode(blocks, out, importance, _fit)


def _fit(x: F32Array, weights: F32Array, rule: ShiftSearch) -> ShiftedFit:
    size, blocks = x.shape
    fit = ShiftedFit(
        np.zeros(blocks, np.float32),
        np.full((size // GROUP, blocks), SHIFT),
        np.zeros((size // GROUP, blocks), np.int32),
    )
    points = grid(GRID)
    shifted.fit(
        x,
        weights,
        rule.epsilon,
        rule.shifts.reshape(-1),
        (points.points.reshape(-1), points.number, points.start, points.count, points.nearby),
        fit.scale,
        fit.shift.reshape(-1),
        fit.number.reshape(-1),
    )
    return fit
