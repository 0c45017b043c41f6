"""IQ2_XS: groups of 8 weights on a grid of 512 points, 4-bit scales. ggml's quantize_iq2_xs."""

from __future__ import annotations

import numpy as np

from quantize.kernels.grid_blocks import Format, Search, fit
from quantize.kernels.grid_packing import (
    IQ2_VALUES,
    pack_scales,
    restored,
    steps,
    unpack_scales,
    with_eighth,
)
from quantize.kernels.grid_search import Again, GridSearch, search, trial_maxima
from quantize.kernels.importance import Importance
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
)
from quantize.tensors import GGML_TYPES

# The number of a point has nine bits; seven signs are above it.
LAYOUT = np.dtype([("d", "<f2"), ("qs", "<u2", (32,)), ("scales", "u1", (8,))])

FORMAT = Format(
    GridSearch("IQ2_XS", trial_maxima(5, 0.1, 9), Again.MISSING, epsilon=1e-15),
    sub=16,
    even_signs=True,
    energy=1,
)


def encode(
    blocks: F32Array, out: Blocks, importance: Importance | None, search: Search = search
) -> None:
    fitted = fit(blocks, importance, FORMAT, search)
    out["d"] = fitted.d
    out["qs"] = fitted.numbers | np.left_shift(fitted.signs & 127, 9, dtype=np.int32)
    out["scales"] = pack_scales(fitted.scales)


def decode(blocks: Blocks) -> F32Array:
    step = steps(blocks["d"], unpack_scales(blocks["scales"]), 0.25)
    signs = with_eighth(blocks["qs"] >> 9)
    return restored(step, IQ2_VALUES, "IQ2_XS", blocks["qs"] & 511, signs)


IQ2_XS = BlockQuantizer(
    GGML_TYPES["IQ2_XS"], LAYOUT, encode, decode, chunk=128, takes_imatrix=True, needs_imatrix=True
)
