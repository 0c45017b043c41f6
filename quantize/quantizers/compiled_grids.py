"""Compiled twins of IQ2 and IQ3: their search, in the place of the reference's."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import grid_search
from quantize.kernels.compiled.grid_search import Points
from quantize.kernels.compiled.searches import fit_positive
from quantize.kernels.compiled.vector import LANES
from quantize.kernels.grid_search import GridSearch, start
from quantize.kernels.grids import grid
from quantize.quantizers import iq2_s, iq2_xs, iq2_xxs, iq3_s, iq3_xxs
from quantize.quantizers.base import F32Array

I32Array = NDArray[np.int32]


def _search(x: F32Array, weights: F32Array, rule: GridSearch) -> tuple[F32Array, I32Array]:
    begin = start(x, weights, rule, fit_positive)
    blocks = x.shape[1]
    padding = -blocks % LANES
    largest, scale = np.pad(begin.largest, (0, padding)), np.pad(begin.scale, (0, padding))
    points, again = _points(rule.grid), rule.again.value
    numbers = np.empty((len(x) // points.dims, blocks), np.int32)
    grid_search.search(x, weights, largest, scale, rule.trial_maxima, again, points, numbers)
    return begin.ended(scale[:blocks], numbers)


encode_iq2_xxs = partial(iq2_xxs.encode, search=_search)
encode_iq2_xs = partial(iq2_xs.encode, search=_search)
encode_iq2_s = partial(iq2_s.encode, search=_search)
encode_iq3_xxs = partial(iq3_xxs.encode, search=_search)
encode_iq3_s = partial(iq3_s.encode, search=_search)


@cache
def _points(name: str) -> Points:
    """A grid whose nearby points fill whole vectors, with the first of each cell as padding."""
    found = grid(name)
    odd = (2 * found.points + 1).astype(np.uint8)
    vectors = -(-found.count // LANES)
    last = np.cumsum(vectors, dtype=np.int32)
    cell = np.repeat(np.arange(len(vectors)), vectors * LANES)
    place = np.arange(len(cell)) - (last - vectors)[cell] * LANES
    place[place >= found.count[cell]] = 0
    near_numbers = found.nearby[found.start[cell] + place]
    near = odd[near_numbers].reshape(-1, LANES, found.dims).transpose(0, 2, 1)
    return Points(
        found.levels,
        found.dims,
        found.number,
        last - vectors,
        last,
        odd.reshape(-1),
        np.ascontiguousarray(near).reshape(-1),
        np.append(near_numbers, np.int32(0)),
    )
