"""The grids of ggml's types: what their scales are, and how chosen codes are stored.

A grid's values are scale * values[code] - offset, see kernels.compensation. `read` takes scales
out of stored blocks `(S,)`, `write` stores codes and scales. In between they are arrays with one
row for each block: codes `(S, block)`, levels and mins `(S, subs)`, d and dmin `(S,)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quantize.kernels.codebook import FP4_VALUES, IQ4_VALUES
from quantize.kernels.compensation import Coded, F32Array, I32Array, Moves, U8Array
from quantize.kernels.packing import (
    pack_fifth_bits,
    pack_fifth_planes,
    pack_halves,
    pack_nibbles,
    pack_pairs,
    pack_scales,
    unpack_scales,
)
from quantize.quantizers import iq4_xs, q3_k, q6_k
from quantize.quantizers.base import Blocks
from quantize.quantizers.mxfp4 import half_scale

Scales = tuple[I32Array, I32Array, F32Array, F32Array]
Read = Callable[[Blocks], Scales]
Write = Callable[[Blocks, U8Array, I32Array, I32Array], None]


@dataclass(frozen=True, slots=True)
class Grid:
    """`values` from the lowest up; `even`: a step of 1 apart. `sub` columns share a scale."""

    values: F32Array
    sub: int
    read: Read
    write: Write
    moves: Moves
    even: bool = True

    def coded(self, blocks: Blocks, rows: int) -> Coded:
        """The scales of stored rows, without codes."""
        levels, mins, d, dmin = self.read(blocks)
        subs = levels.shape[1]
        return Coded(
            np.zeros((rows, levels.size // rows * self.sub), np.uint8),
            np.ascontiguousarray(levels.reshape(rows, -1)),
            np.ascontiguousarray(mins.reshape(rows, -1)),
            np.repeat(d, subs).reshape(rows, -1),
            np.repeat(dmin, subs).reshape(rows, -1),
        )

    def store(self, coded: Coded, out: Blocks) -> None:
        """Fill stored blocks, all fields of them."""
        count = len(out)
        codes = coded.codes.reshape(count, -1)
        levels, mins = coded.levels.reshape(count, -1), coded.mins.reshape(count, -1)
        d, dmin = coded.d.reshape(count, -1)[:, 0], coded.dmin.reshape(count, -1)[:, 0]
        for name, value in (("d", d), ("dmin", dmin), ("m", -dmin)):
            if name in (out.dtype.names or ()):
                out[name] = value
        self.write(out, codes, levels, mins)


def _transposed(codes: U8Array, sub: int) -> U8Array:
    """`(S, 256)` as `(sub, 256 / sub, S)`, the order that kernels.packing takes."""
    return np.ascontiguousarray(codes.reshape(len(codes), -1, sub).transpose(2, 1, 0))


def _half(field: U8Array) -> F32Array:
    return field.astype(np.float32)


def _read_with_mins(blocks: Blocks) -> Scales:
    levels, mins = unpack_scales(blocks["scales"])
    d, dmin = _half(blocks["d"]), _half(blocks["dmin"])
    return levels.astype(np.int32), mins.astype(np.int32), d, dmin


def _write_with_mins(out: Blocks, codes: U8Array, levels: I32Array, mins: I32Array) -> None:
    pack_scales(levels.T.astype(np.uint8), mins.T.astype(np.uint8), out["scales"])
    ordered = _transposed(codes, 32)
    if "qh" in (out.dtype.names or ()):
        out["qh"] = pack_fifth_planes(ordered)
    pack_nibbles(ordered, out["qs"])


def _read_q2_k(blocks: Blocks) -> Scales:
    stored = blocks["scales"].astype(np.int32)
    return stored & 15, stored >> 4, _half(blocks["d"]), _half(blocks["dmin"])


def _write_q2_k(out: Blocks, codes: U8Array, levels: I32Array, mins: I32Array) -> None:
    out["scales"] = (levels | mins << 4).astype(np.uint8)
    out["qs"] = pack_pairs(codes)


def _without_mins(levels: I32Array, d: F32Array) -> Scales:
    return levels, np.zeros_like(levels), d, np.zeros_like(d)


def _read_q3_k(blocks: Blocks) -> Scales:
    levels = q3_k.unpack_scales(blocks["scales"]).astype(np.int32) - 32
    return _without_mins(levels, _half(blocks["d"]))


def _write_q3_k(out: Blocks, codes: U8Array, levels: I32Array, mins: I32Array) -> None:
    out["scales"] = q3_k.pack_scales((levels + 32).T.astype(np.uint8))
    out["qs"] = pack_pairs(np.bitwise_and(codes, np.uint8(3)))
    planes = np.left_shift((codes >> 2).reshape(-1, 8, 32), np.arange(8, dtype=np.uint8)[:, None])
    out["hmask"] = np.bitwise_or.reduce(planes, axis=1)


def _read_q6_k(blocks: Blocks) -> Scales:
    return _without_mins(blocks["scales"].astype(np.int32), _half(blocks["d"]))


def _write_q6_k(out: Blocks, codes: U8Array, levels: I32Array, mins: I32Array) -> None:
    out["scales"] = levels.astype(np.int8)
    q6_k.pack_levels(_transposed(codes, q6_k.SUB), out)


def _read_iq4_xs(blocks: Blocks) -> Scales:
    return _without_mins(iq4_xs.scale_levels(blocks), _half(blocks["d"]))


def _write_iq4_xs(out: Blocks, codes: U8Array, levels: I32Array, mins: I32Array) -> None:
    iq4_xs.store_levels(out, levels)
    packed = np.empty((len(codes) * 8, 16), np.uint8)
    pack_halves(codes.reshape(-1, 32), packed)
    out["qs"] = packed.reshape(-1, 128)


def _read_one_scale(blocks: Blocks) -> Scales:
    d = _half(blocks["d"])
    return _without_mins(np.ones((len(d), 1), np.int32), d)


def _read_scale_and_min(blocks: Blocks) -> Scales:
    ones = np.ones((len(blocks), 1), np.int32)
    return ones, ones.copy(), _half(blocks["d"]), -_half(blocks["m"])


def _write_halves(out: Blocks, codes: U8Array, levels: I32Array, mins: I32Array) -> None:
    if "qh" in (out.dtype.names or ()):
        out["qh"] = pack_fifth_bits(codes)
    pack_halves(codes, out["qs"])


def _write_q8_0(out: Blocks, codes: U8Array, levels: I32Array, mins: I32Array) -> None:
    out["qs"] = codes.astype(np.int16) - 127


# Stored codes of FP4 from the lowest value up; the zero is the one that ggml writes.
_FP4_ORDER = np.array([15, 14, 13, 12, 11, 10, 9, 0, 1, 2, 3, 4, 5, 6, 7], np.uint8)


def _read_mxfp4(blocks: Blocks) -> Scales:
    d = half_scale(blocks["e"])
    return _without_mins(np.ones((len(d), 1), np.int32), d)


def _write_mxfp4(out: Blocks, codes: U8Array, levels: I32Array, mins: I32Array) -> None:
    pack_halves(_FP4_ORDER[codes], out["qs"])


def _range(low: int, high: int) -> F32Array:
    return np.arange(low, high + 1, dtype=np.float32)


_MINS_63 = Moves(levels=(0, 63), mins=(0, 63), offsets=True)
_HALVES = Moves()
_TWO_HALVES = Moves(offsets=True)
_IQ4 = IQ4_VALUES.astype(np.float32)
_FP4 = FP4_VALUES[_FP4_ORDER].astype(np.float32)

# ggml type -> its grid. `exponent` types keep the scales that their quantizer chose.
GRIDS: dict[str, Grid] = {
    "Q2_K": Grid(
        _range(0, 3), 16, _read_q2_k, _write_q2_k,
        Moves(levels=(0, 15), mins=(0, 15), offsets=True),
    ),
    "Q3_K": Grid(_range(-4, 3), 16, _read_q3_k, _write_q3_k, Moves(levels=(-32, 31))),
    "Q4_K": Grid(_range(0, 15), 32, _read_with_mins, _write_with_mins, _MINS_63),
    "Q5_K": Grid(_range(0, 31), 32, _read_with_mins, _write_with_mins, _MINS_63),
    "Q6_K": Grid(_range(-32, 31), 16, _read_q6_k, _write_q6_k, Moves(levels=(-128, 127))),
    "Q4_0": Grid(_range(-8, 7), 32, _read_one_scale, _write_halves, _HALVES),
    "Q5_0": Grid(_range(-16, 15), 32, _read_one_scale, _write_halves, _HALVES),
    "Q8_0": Grid(_range(-127, 127), 32, _read_one_scale, _write_q8_0, _HALVES),
    "Q4_1": Grid(_range(0, 15), 32, _read_scale_and_min, _write_halves, _TWO_HALVES),
    "Q5_1": Grid(_range(0, 31), 32, _read_scale_and_min, _write_halves, _TWO_HALVES),
    "IQ4_NL": Grid(_IQ4, 32, _read_one_scale, _write_halves, _HALVES, even=False),
    "IQ4_XS": Grid(
        _IQ4, 32, _read_iq4_xs, _write_iq4_xs, Moves(levels=(-32, 31)), even=False
    ),
    "MXFP4": Grid(_FP4, 32, _read_mxfp4, _write_mxfp4, Moves(scales=False), even=False),
}  # fmt: skip
