"""Compiled twins of `encode` functions: the same bytes, some times faster.

Only the loops over weights are compiled; what happens once per block is the reference's code. With
an importance matrix, and for the rare chunk whose values leave the range of plain rounding, the
reference does the whole work.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import affine, floats, levels, linear, signed
from quantize.kernels.floats import encode_f16
from quantize.kernels.packing import pack_scales, unpack_scales
from quantize.kernels.superblock import Search, share_of_largest
from quantize.kernels.symmetric import OFFSETS
from quantize.kernels.workspace import scratch
from quantize.quantizers import q4_k, q5_0, q5_1, q5_k, q6_k
from quantize.quantizers.base import Blocks, F32Array, Importance, U8Array

U16Array = NDArray[np.uint16]


def encode_bf16(values: F32Array) -> U16Array:
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    out = np.empty(flat.size, np.uint16)
    floats.bf16(flat.view(np.uint32), out)
    return out.reshape(values.shape)


def encode_half(values: F32Array) -> U16Array:
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    out = np.empty(flat.size, np.uint16)
    floats.f16(flat, out)
    return out.reshape(values.shape)


def encode_q8_0(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    scales = scratch("scales", (len(blocks),))
    linear.q8_0(blocks, _bytes(out), scales)
    out["d"] = _half(scales)


def encode_q5_0(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    if importance is not None:
        q5_0.encode(blocks, out, importance)
        return
    scales = scratch("scales", (len(blocks),))
    linear.q5_0(blocks, _bytes(out), scales)
    out["d"] = _half(scales)


def encode_q5_1(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    if importance is not None:
        q5_1.encode(blocks, out, importance)
        return
    scales, lows = scratch("scales", (len(blocks),)), scratch("lows", (len(blocks),))
    linear.q5_1(blocks, _bytes(out), scales, lows)
    out["d"], out["m"] = _half(scales), _half(lows)


def encode_q4_k(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    whole = None if importance is not None else _affine(blocks, out, q4_k.SEARCH)
    if whole is None:
        q4_k.encode(blocks, out, importance)
        return
    levels.pack_nibbles(whole, _bytes(out), _offset(out, "qs"))


def encode_q5_k(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    whole = None if importance is not None else _affine(blocks, out, q5_k.SEARCH)
    if whole is None:
        q5_k.encode(blocks, out, importance)
        return
    levels.pack_nibbles(whole, _bytes(out), _offset(out, "qs"))
    levels.pack_fifth_planes(whole, _bytes(out), _offset(out, "qh"))


def _affine(blocks: F32Array, out: Blocks, search: Search) -> U8Array | None:
    """Scales, mins, d and dmin into `out`, and the levels `(S, 256)`; None: leave it to NumPy."""
    rows = blocks.reshape(-1, affine.SUB)
    fit = scratch("fit", (4, len(rows)))
    ranges = np.array(search.candidates.ranges())
    nmax = search.candidates.nmax
    if not affine.search(rows, np.float32(nmax), ranges, fit):
        return None
    subs = (len(blocks), -1)
    d, scales = share_of_largest(fit[affine.SCALE].reshape(subs).T, search.top)
    dmin, mins = share_of_largest(-fit[affine.LOW].reshape(subs).T, search.top)
    cap = np.uint8(search.top)
    out["d"], out["dmin"] = d, dmin
    pack_scales(np.minimum(scales, cap), np.minimum(mins, cap), out["scales"])
    stored_scales, stored_mins = unpack_scales(out["scales"])
    steps = out["d"].astype(np.float32)[:, None] * stored_scales
    offsets = out["dmin"].astype(np.float32)[:, None] * stored_mins
    whole: U8Array = scratch("whole", blocks.shape, np.uint8)
    levels.affine_levels(blocks, steps, offsets, fit, nmax, whole)
    return whole


_REACHES = -np.array([np.float32(32) + offset for offset in (np.float32(0), *OFFSETS)], np.float32)


def encode_q6_k(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    if importance is not None:
        q6_k.encode(blocks, out, importance)
        return
    rows = blocks.reshape(-1, signed.SUB)
    fit = scratch("fit", (2, len(rows)))
    signed.search(rows, np.float32(32), _REACHES, fit)
    scales = np.ascontiguousarray(fit[signed.SCALE].reshape(len(blocks), -1).T)
    step, empty = q6_k.store_scales(scales, out)
    whole: U8Array = scratch("whole", blocks.shape, np.uint8)
    levels.signed_levels(blocks, np.ascontiguousarray(step.T), fit, 32, whole)
    at = _offset(out, "ql"), _offset(out, "qh")
    levels.pack_six(whole, _bytes(out), *at)
    out[empty] = np.zeros((), q6_k.LAYOUT)


def _bytes(out: Blocks) -> U8Array:
    return out.view(np.uint8).reshape(len(out), -1)


def _offset(out: Blocks, field: str) -> int:
    offset: int = out.dtype.fields[field][1]  # type: ignore[index]  # a structure has fields
    return offset


def _half(values: F32Array) -> NDArray[np.float16]:
    return encode_f16(values).view(np.float16)
