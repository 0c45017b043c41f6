"""Compiled twins of `encode` functions: the same bytes, some times faster.

Only the loops over weights are compiled; what happens once per block is the reference's code. With
an importance matrix, and for the rare chunk whose values leave the range of plain rounding, the
reference does the whole work.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import affine, floats, linear, signed
from quantize.kernels.superblock import Search
from quantize.kernels.symmetric import OFFSETS
from quantize.kernels.workspace import scratch
from quantize.quantizers import q4_0, q4_1, q4_k, q5_0, q5_1, q5_k, q6_k
from quantize.quantizers.base import Blocks, F32Array, Importance

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
        q4_0.encode(blocks, out, importance)
    else:
        linear.encode_signed(_flat(blocks), q4_0.NMAX, _flat(out))


def encode_q5_0(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    if importance is not None:
        q5_0.encode(blocks, out, importance)
    else:
        linear.encode_signed(_flat(blocks), q5_0.NMAX, _flat(out))


def encode_q4_1(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    if importance is not None:
        q4_1.encode(blocks, out, importance)
    else:
        linear.encode_affine(_flat(blocks), q4_1.NMAX, _flat(out))


def encode_q5_1(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    if importance is not None:
        q5_1.encode(blocks, out, importance)
    else:
        linear.encode_affine(_flat(blocks), q5_1.NMAX, _flat(out))


def encode_q4_k(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    if importance is not None or not _affine(blocks, out, q4_k.SEARCH):
        q4_k.encode(blocks, out, importance)


def encode_q5_k(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    if importance is not None or not _affine(blocks, out, q5_k.SEARCH):
        q5_k.encode(blocks, out, importance)


def _affine(blocks: F32Array, out: Blocks, search: Search) -> bool:
    """Whether that gave the reference's bytes."""
    ranges = np.array(search.candidates.ranges())
    work = scratch("lanes", (affine.WORK,))
    return affine.encode(_flat(blocks), search.candidates.nmax, ranges, _flat(out), work)


_REACHES = -np.array([np.float32(32) + offset for offset in (np.float32(0), *OFFSETS)], np.float32)


def encode_q6_k(blocks: F32Array, out: Blocks, importance: Importance | None) -> None:
    if importance is not None:
        q6_k.encode(blocks, out, importance)
        return
    work = scratch("lanes", (signed.WORK,))
    signed.encode(_flat(blocks), _REACHES, _flat(out), work)


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    """The elements of blocks in a row, or the bytes of packed ones."""
    return values.reshape(-1) if values.dtype == np.float32 else values.view(np.uint8).reshape(-1)
