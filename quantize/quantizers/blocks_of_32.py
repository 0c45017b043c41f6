"""Blocks of 32 weights with 4 or 5 bits: Q4_0, Q5_0, Q4_1 and Q5_1 differ in numbers alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quantize.arrays import F32Array, U8Array
from quantize.kernels.importance import Importance
from quantize.kernels.linear import affine_grid, signed_grid
from quantize.kernels.packing import pack_fifth_bits, pack_halves, unpack_fifth_bits, unpack_halves
from quantize.kernels.searches import NUMPY, Searches
from quantize.kernels.weighted import affine_search, signed_search
from quantize.quantizers.base import Blocks, Decode

SearchedEncode = Callable[..., None]


def signed(nmax: int) -> tuple[SearchedEncode, Decode]:
    """Encode and decode for levels -nmax to nmax - 1 and one scale."""

    def encode(
        blocks: F32Array, out: Blocks, importance: Importance | None, searches: Searches = NUMPY
    ) -> None:
        if importance is None:
            out["d"], levels = signed_grid(blocks, nmax)
        else:
            columns, energy = importance.columns, importance.row_energy()
            out["d"], levels = signed_search(blocks, nmax, columns, energy, searches)
        _pack(levels, out)

    def decode(blocks: Blocks) -> F32Array:
        d: F32Array = blocks["d"].astype(np.float32)
        return (_unpack(blocks).view(np.int8) - np.int8(nmax)) * d[:, None]

    return encode, decode


def affine(nmax: int) -> tuple[SearchedEncode, Decode]:
    """Encode and decode for levels 0 to nmax, a scale and a minimum."""

    def encode(
        blocks: F32Array, out: Blocks, importance: Importance | None, searches: Searches = NUMPY
    ) -> None:
        if importance is None:
            out["d"], out["m"], levels = affine_grid(blocks, nmax)
        else:
            columns, energy = importance.columns, importance.row_energy()
            out["d"], out["m"], levels = affine_search(blocks, nmax, columns, energy, searches)
        _pack(levels, out)

    def decode(blocks: Blocks) -> F32Array:
        d: F32Array = blocks["d"].astype(np.float32)
        low: F32Array = blocks["m"].astype(np.float32)
        return _unpack(blocks) * d[:, None] + low[:, None]

    return encode, decode


def _has_fifth_bits(blocks: Blocks) -> bool:
    return "qh" in (blocks.dtype.names or ())


def _pack(levels: U8Array, out: Blocks) -> None:
    if _has_fifth_bits(out):
        out["qh"] = pack_fifth_bits(levels)
    pack_halves(levels, out["qs"])


def _unpack(blocks: Blocks) -> U8Array:
    levels = unpack_halves(blocks["qs"])
    return levels | unpack_fifth_bits(blocks["qh"]) if _has_fifth_bits(blocks) else levels
