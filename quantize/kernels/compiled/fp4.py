"""MXFP4, compiled: twin of `kernels.codebook.fp4_codes`.

Blocks and their bytes are flat arrays; the two halves of a block are one vector each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.compiled import compiled, device
from quantize.kernels.compiled.lanes import largest_lane
from quantize.kernels.compiled.rounding import at_least
from quantize.kernels.compiled.vector import (
    LANES,
    Floats,
    Ints,
    bits,
    choose_int,
    lane,
    load,
    splat,
    splat_int,
    store,
)

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]

BLOCK = 32
TYPE_SIZE = 17


@compiled
def peaks(blocks: F32Array, out: F32Array) -> None:
    """The largest magnitude of each block."""
    whole = out.view(np.int32)
    for b in range(out.size):
        first, second = load(blocks, BLOCK * b), load(blocks, BLOCK * b + LANES)
        whole[b] = lane(bits(largest_lane(at_least(abs(first), abs(second)))), 0)


@compiled
def encode_mxfp4(blocks: F32Array, exponent: U8Array, scale: F32Array, packed: U8Array) -> None:
    """Fill `packed` by the stored exponents, and the scales that codes are counted in."""
    for b in range(scale.size):
        at, out = BLOCK * b, TYPE_SIZE * b
        unit = splat(scale[b])
        packed[out] = exponent[b]
        low, high = _codes(load(blocks, at), unit), _codes(load(blocks, at + LANES), unit)
        store(packed, out + 1, low | (high << splat_int(4)))


@device
def _codes(value: Floats, scale: Floats) -> Ints:
    """How many midpoints a magnitude is beyond, and a sign where there are any."""
    steps = abs(value) / scale
    one, zero = splat_int(1), splat_int(0)
    codes = choose_int(steps > splat(0.5), choose_int(value < splat(0.0), splat_int(9), one), zero)
    for midpoint in (1.5, 2.5, 3.5, 5.0, 7.0, 10.0):
        codes = codes + choose_int(steps > splat(midpoint), one, zero)
    return codes
