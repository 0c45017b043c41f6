"""IQ3_XXS: groups of 4 weights on a grid of 256 points, 4-bit scales. ggml's quantize_iq3_xxs."""

from __future__ import annotations

import numpy as np

from quantize.kernels.grid_blocks import Format, Search, fit
from quantize.kernels.grid_packing import (
    IQ3_XXS_VALUES,
    pack_sevens,
    restored,
    steps,
    unpack_sevens,
)
from quantize.kernels.grid_search import Again, GridSearch, search, trial_maxima
from quantize.kernels.importance import Importance
from quantize.quantizers.base import (
    BlockQuantizer,
    Blocks,
    F32Array,
)
from quantize.tensors import GGML_TYPES

LAYOUT = np.dtype([("d", "<f2"), ("qs", "u1", (64,)), ("signs", "<u4", (8,))])

FORMAT = Format(
    GridSearch("IQ3_XXS", trial_maxima(15, 0.2, 15), Again.MISSING, epsilon=1e-8),
    sub=32,
    even_signs=True,
    energy=2,
)

# ggml gives the search's scale a little more: its own measured factor.
_FACTOR = np.float32(1.0125)


def encode(
    blocks: F32Array, out: Blocks, importance: Importance | None, search: Search = search
) -> None:
    fitted = fit(blocks, importance, FORMAT, search)
    out["d"] = fitted.d * _FACTOR
    out["qs"] = fitted.numbers
    out["signs"] = pack_sevens(fitted.signs, fitted.scales)


def decode(blocks: Blocks) -> F32Array:
    signs, scales = unpack_sevens(blocks["signs"])
    step = steps(blocks["d"], scales, 0.5)
    return restored(step, IQ3_XXS_VALUES, "IQ3_XXS", blocks["qs"], signs)


IQ3_XXS = BlockQuantizer(
    GGML_TYPES["IQ3_XXS"], LAYOUT, encode, decode, chunk=128, takes_imatrix=True
)
