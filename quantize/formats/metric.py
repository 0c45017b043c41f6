"""Metrics: what the errors of a row cost together, an H of `(cols, cols)` for each matrix.

They are float32 in a file of our own, so that a metric is small and can go to any worker.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantize.arrays import F32Array
from quantize.errors import CheckpointError
from quantize.storage.local import read_into

# Entries are rounded to this share of the mean of the diagonal. What a sum of float64 in another
# order changes is far below, so other machines and other numbers of threads find the same values.
_ROUNDING = 2.0**-16


@dataclass(frozen=True, slots=True)
class Metric:
    """`matrices` of `(cols, cols)`, one after another in `file`; `digest` is their SHA-256.

    `damping` is the share of the diagonal's mean that is added to the diagonal; `sweeps` is how
    often codes are improved one by one.
    """

    file: Path
    digest: str
    cols: int
    matrices: int
    damping: float
    sweeps: int

    @property
    def facts(self) -> str:
        """What decides the bytes of a tensor with this metric."""
        return f"{self.digest} {self.damping} {self.sweeps}"

    def matrix(self, number: int) -> F32Array:
        """One of them. Raises CheckpointError for a file that ends too early."""
        nbytes = 4 * self.cols * self.cols
        data = bytearray(nbytes)
        read_into(self.file, self.file.name, number * nbytes, memoryview(data))
        return np.frombuffer(data, "<f4").reshape(self.cols, self.cols)


def rounded(metric: NDArray[np.float64]) -> F32Array:
    """H with a diagonal of mean 1, symmetric, rounded. Raises CheckpointError for NaN."""
    mean = float(np.trace(metric)) / len(metric)
    if not np.isfinite(mean):
        raise CheckpointError(
            "metric-overflow",
            "the sums that tell what errors cost are not finite",
            hint="leave out --refine",
        )
    scaled = metric / (2 * mean) if mean > 0 else metric
    scaled = scaled + scaled.T
    return (np.rint(scaled / _ROUNDING) * _ROUNDING).astype(np.float32)


def write_metric(file: Path, matrices: list[F32Array], damping: float, sweeps: int) -> Metric:
    """Write rounded matrices of one size to `file`."""
    sha = hashlib.sha256()
    with file.open("wb") as stream:
        for matrix in matrices:
            data = matrix.astype("<f4", copy=False).tobytes()
            sha.update(data)
            stream.write(data)
    return Metric(file, sha.hexdigest(), len(matrices[0]), len(matrices), damping, sweeps)
