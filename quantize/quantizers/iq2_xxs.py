"""IQ2_XXS: groups of 8 weights on a grid of 256 points, 4-bit scales. ggml's quantize_iq2_xxs."""

from __future__ import annotations

import numpy as np

from quantize.kernels.grid_blocks import Format, Search, fit
from quantize.kernels.grid_packing import IQ2_VALUES, pack_sevens, restored, steps, unpack_sevens
from quantize.kernels.grid_search import Again, GridSearch, search, trial_maxima
from quantize.kernels.importance import Importance
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
)
from quantize.tensors import GGML_TYPES

# For 32 weights each: the numbers of four points, then their signs and the scale.
LAYOUT = np.dtype([("d", "<f2"), ("qs", [("points", "u1", (4,)), ("signs", "<u4")], (8,))])

FORMAT = Format(
    GridSearch("IQ2_XXS", trial_maxima(5, 0.1, 6), Again.ALL, epsilon=1e-15, first_levels=4),
    sub=32,
    even_signs=True,
    energy=1,
)


def encode(
    blocks: F32Array, out: Blocks, importance: Importance | None, search: Search = search
) -> None:
    fitted = fit(blocks, importance, FORMAT, search)
    out["d"] = fitted.d
    out["qs"]["points"] = fitted.numbers.reshape(-1, 8, 4)
    out["qs"]["signs"] = pack_sevens(fitted.signs, fitted.scales)


def decode(blocks: Blocks) -> F32Array:
    signs, scales = unpack_sevens(blocks["qs"]["signs"])
    step = steps(blocks["d"], scales, 0.25)
    return restored(step, IQ2_VALUES, "IQ2_XXS", blocks["qs"]["points"], signs)


IQ2_XXS = BlockQuantizer(
    GGML_TYPES["IQ2_XXS"], LAYOUT, encode, decode, chunk=128, takes_imatrix=True, needs_imatrix=True
)
