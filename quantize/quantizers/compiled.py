"""Compiled twins of `encode` functions: the same bytes, some times faster.

Types that most files are made of are compiled whole. With an importance matrix, and in the other
types, only the searches are, and what is left is the reference's code.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import affine, floats, fp4, linear, signed, ternary
from quantize.kernels.compiled.searches import COMPILED
from quantize.kernels.importance import Importance
from quantize.kernels.superblock import Search
from quantize.kernels.symmetric import trial_maxima
from quantize.kernels.workspace import scratch
from quantize.quantizers import (
    iq4_nl,
    iq4_xs,
    mxfp4,
    q2_k,
    q3_k,
    q4_0,
    q4_1,
    q4_k,
    q5_0,
    q5_1,
    q5_k,
    q6_k,
)
from quantize.quantizers.base import (
    Blocks,
    F32Array,
)

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
    linear.encode_q8_0(_flat(blocks), _flat(out))


def encode_q4_0(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    if importance is not None:
        q4_0.encode(blocks, out, importance, COMPILED)
    else:
        linear.encode_signed(_flat(blocks), q4_0.NMAX, _flat(out))


def encode_q5_0(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    if importance is not None:
        q5_0.encode(blocks, out, importance, COMPILED)
    else:
        linear.encode_signed(_flat(blocks), q5_0.NMAX, _flat(out))


def encode_q4_1(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    if importance is not None:
        q4_1.encode(blocks, out, importance, COMPILED)
    else:
        linear.encode_affine(_flat(blocks), q4_1.NMAX, _flat(out))


def encode_q5_1(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    if importance is not None:
        q5_1.encode(blocks, out, importance, COMPILED)
    else:
        linear.encode_affine(_flat(blocks), q5_1.NMAX, _flat(out))


def encode_q4_k(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    if importance is not None or not _affine(blocks, out, q4_k.SEARCH):
        q4_k.encode(blocks, out, importance, COMPILED)


def encode_q5_k(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    if importance is not None or not _affine(blocks, out, q5_k.SEARCH):
        q5_k.encode(blocks, out, importance, COMPILED)


def _affine(blocks: F32Array, out: Blocks, search: Search) -> bool:
    """Whether that gave the reference's bytes."""
    ranges = np.array(search.candidates.ranges())
    work = scratch("lanes", (affine.WORK,))
    return affine.encode(_flat(blocks), search.candidates.nmax, ranges, _flat(out), work)


def encode_q6_k(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    if importance is not None:
        q6_k.encode(blocks, out, importance, COMPILED)
        return
    work = scratch("lanes", (signed.WORK,))
    signed.encode(_flat(blocks), trial_maxima(32), _flat(out), work)


def encode_tq1_0(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    ternary.encode_tq1_0(_flat(blocks), _flat(out))


def encode_tq2_0(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    ternary.encode_tq2_0(_flat(blocks), _flat(out))


def encode_mxfp4(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    peak: F32Array = scratch("peak", (len(blocks),))
    fp4.peaks(_flat(blocks), peak)
    exponent = mxfp4.exponents(peak)
    fp4.encode_mxfp4(_flat(blocks), exponent, mxfp4.half_scale(exponent), _flat(out))


# Of these the search takes nearly all the time, with an importance matrix or without.
encode_q2_k = partial(q2_k.encode, searches=COMPILED)
encode_q3_k = partial(q3_k.encode, searches=COMPILED)
encode_iq4_nl = partial(iq4_nl.encode, searches=COMPILED)
encode_iq4_xs = partial(iq4_xs.encode, searches=COMPILED)


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    """The elements of blocks in a row, or the bytes of packed ones."""
    return values.reshape(-1) if values.dtype == np.float32 else values.view(np.uint8).reshape(-1)
