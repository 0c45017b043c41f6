"""How far values are from a reference: sums over any rows of a tensor, added up in any order.

The sums are of the reference a, of the error d = b - a, and of both: everything else follows. They
keep what a sum over b would lose: the cosine of nearly equal values is 1 minus a very small number,
and that number comes out of the errors alone.

Within a row, sums are float64's. Rows are added up exactly, as integers, so that neither the order
nor who added which rows shows in the result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantize.arrays import F32Array
from quantize.kernels.workspace import scratch

# Elements at once: two float64 arrays of it stay in a core's own cache.
_PIECE = 1 << 15
# Of a row, so that BLAS starts no threads for it.
_LONGEST = 1 << 13

# A float32 is a multiple of 2**-149, and so is the error; sums of their products, however they are
# rounded, are multiples of 2**-298.
_EXPONENT = 298
ONE = 1 << _EXPONENT


@dataclass(frozen=True, slots=True)
class TensorQuality:
    """Sums over `count` pairs of finite values, a of the reference and b held against it.

    `reference` is the sum of a², `error` that of (b - a)², `cross` that of a(b - a), all in units
    of 1 / ONE; `largest` is the greatest |b - a|. Values that are NaN or infinite are in no sum;
    `reference_not_finite` and `not_finite` say how many there are on either side.
    """

    count: int = 0
    reference: int = 0
    error: int = 0
    cross: int = 0
    largest: float = 0.0
    reference_not_finite: int = 0
    not_finite: int = 0

    def __add__(self, other: TensorQuality) -> TensorQuality:
        """The quality of both together: of two parts of a tensor, or of two tensors."""
        return TensorQuality(
            self.count + other.count,
            self.reference + other.reference,
            self.error + other.error,
            self.cross + other.cross,
            max(self.largest, other.largest),
            self.reference_not_finite + other.reference_not_finite,
            self.not_finite + other.not_finite,
        )

    def times(self, whole: int, part: int) -> TensorQuality:
        """What `whole` weights have when this is of `part` of them that are like the others."""
        if whole == part:
            return self
        sums = (self.count, self.reference, self.error, self.cross)
        count, reference, error, cross = (value * whole // part for value in sums)
        return replace(self, count=count, reference=reference, error=error, cross=cross)

    @property
    def exact(self) -> bool:
        """Whether every value is finite on both sides, and the same."""
        return self.largest == 0 and not (self.reference_not_finite or self.not_finite)

    @property
    def relative_rms(self) -> float | None:
        """Root mean square of the error, relative to the reference's; 0 where nothing differs.

        None where the reference has zeros only and the values have not.
        """
        if not self.error:
            return 0.0
        return math.sqrt(self.error / self.reference) if self.reference else None

    @property
    def severity(self) -> float:
        """To sort by: the relative error, and infinity where no number says how bad it is."""
        if self.reference_not_finite or self.not_finite or self.relative_rms is None:
            return math.inf
        return self.relative_rms

    @property
    def snr_db(self) -> float | None:
        """Signal-to-noise ratio in decibels; None where there is no error, or no signal."""
        if not (self.error and self.reference):
            return None
        return 10 * (math.log10(self.reference) - math.log10(self.error))

    @property
    def cosine(self) -> float:
        """Of the angle between both, in [-1, 1]. 1 if both have zeros only, 0 if one of them has.

        |a||b| cos = a·b, and |b - a|² = (|b| - |a|)² + 2|a||b|(1 - cos).
        """
        if not self.error:
            return 1.0
        # |b|² = |a|² + 2 a·d + |d|², which rounding may take below zero.
        other = math.sqrt(max(self.reference + 2 * self.cross + self.error, 0))
        signal = math.sqrt(self.reference)
        if not (signal and other):
            return 0.0
        longer = (2 * self.cross + self.error) / (signal + other)
        return min(max(1 - (self.error - longer**2) / (2 * signal * other), -1.0), 1.0)


def measure(reference: F32Array, values: F32Array) -> TensorQuality:
    """The quality of float32 `values` against a `reference` of the same shape, whatever it is.

    The last axis is that of rows: however they are parted, their qualities add up to the same.
    """
    if reference.shape != values.shape:
        raise ValueError(f"{values.shape} cannot be held against {reference.shape}")
    total = TensorQuality()
    if not reference.size:
        return total
    cols = reference.shape[-1]
    a, b = reference.reshape(-1, cols), values.reshape(-1, cols)
    width = min(cols, _LONGEST)
    height = _PIECE // width
    room = scratch("quality", (2, min(height, len(a)) * width), np.float64)
    with np.errstate(invalid="ignore"):
        for lo in range(0, len(a), height):
            for left in range(0, cols, width):
                part = slice(lo, lo + height), slice(left, left + width)
                total += _piece(a[part], b[part], room)
    return total


def _piece(a: F32Array, b: F32Array, room: NDArray[np.float64]) -> TensorQuality:
    """No square of a float32 is too large or too small for a float64, so nothing is scaled."""
    signal, error = (part[: a.size].reshape(a.shape) for part in room)
    signal[:] = a
    np.subtract(b, signal, out=error)
    largest = float(max(error.max(), -error.min()))
    signals, errors = _dots(signal, signal), _dots(error, error)
    if not math.isfinite(sum(signals) + sum(errors)):
        return _without_broken(a, b, room)
    crosses = _dots(signal, error)
    return TensorQuality(a.size, _sum(signals), _sum(errors), _sum(crosses), abs(largest))


def _sum(values: list[float]) -> int:
    """The exact sum, in units of 1 / ONE: it is taken off until nothing is left but zero."""
    total, left = 0, values
    while part := math.fsum(left):
        total += int(math.ldexp(part, _EXPONENT))
        left = [*left, -part]
    return total


def _dots(a: NDArray[np.float64], b: NDArray[np.float64]) -> list[float]:
    """The sum of products of each row."""
    products: list[float] = np.matmul(a[:, None, :], b[:, :, None]).reshape(-1).tolist()
    return products


def _without_broken(a: F32Array, b: F32Array, room: NDArray[np.float64]) -> TensorQuality:
    fine_a, fine_b = np.isfinite(a), np.isfinite(b)
    fine = fine_a & fine_b
    zero = np.float32(0)
    return replace(
        _piece(np.where(fine, a, zero), np.where(fine, b, zero), room),
        count=int(np.count_nonzero(fine)),
        reference_not_finite=int(np.count_nonzero(~fine_a)),
        not_finite=int(np.count_nonzero(~fine_b)),
    )
