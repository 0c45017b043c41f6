"""Superblocks of eight sub-blocks with 6-bit scales and mins: Q4_K and Q5_K."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantize.arrays import F32Array
from quantize.kernels.importance import Importance
from quantize.kernels.packing import (
    pack_fifth_planes,
    pack_nibbles,
    pack_scales,
    unpack_fifth_planes,
    unpack_nibbles,
    unpack_scales,
)
from quantize.kernels.searches import NUMPY, Searches
from quantize.kernels.superblock import Search, fit_superblocks, restored, stored_levels
from quantize.quantizers.base import Blocks, Decode

_TOP = 63


def with_mins(search: Search, *, caps_weighted: bool) -> tuple[Callable[..., None], Decode]:
    """Encode and decode.

    Only a wrapped negative scale is above 63. ggml caps it; with an importance matrix only where
    `caps_weighted`.
    """

    def encode(
        blocks: F32Array, out: Blocks, importance: Importance | None, searches: Searches = NUMPY
    ) -> None:
        fitted = fit_superblocks(blocks, search, importance, searches)
        cap = np.uint8(_TOP if importance is None or caps_weighted else 255)
        out["d"], out["dmin"] = fitted.d, fitted.dmin
        pack_scales(np.minimum(fitted.scales, cap), np.minimum(fitted.mins, cap), out["scales"])
        levels = stored_levels(fitted, *unpack_scales(out["scales"]))
        if "qh" in (out.dtype.names or ()):
            out["qh"] = pack_fifth_planes(levels)
        pack_nibbles(levels, out["qs"])

    def decode(blocks: Blocks) -> F32Array:
        levels = unpack_nibbles(blocks["qs"], search.sub)
        if "qh" in (blocks.dtype.names or ()):
            levels = levels | unpack_fifth_planes(blocks["qh"])
        return restored(blocks["d"], blocks["dmin"], *unpack_scales(blocks["scales"]), levels)

    return encode, decode
