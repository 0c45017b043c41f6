"""Speed of every quantizer on one core: NumPy, numba, and ggml's C beside them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from ggml import Ggml
from numpy.typing import NDArray

from quantize.kernels import available
from quantize.quantizers import QUANTIZERS, TWINS, load

_COLS = 2048
_LONGEST = 2.0  # seconds that one run should take at most: slow types get fewer rows
# Without an importance matrix ggml makes all types but these.
_NEED_IMATRIX = ("IQ1_S", "IQ2_XXS", "IQ2_XS")


@dataclass(frozen=True, slots=True)
class KernelSpeed:
    """Million weights a second by implementation ("numpy", "numba", "C").

    `error` is that of the type: root mean square of what is lost, relative to that of the rows.
    """

    type: str
    speeds: dict[str, float]
    error: float

    def ratio(self, kernels: str) -> float | None:
        """How many times as fast as ggml's C."""
        if "C" not in self.speeds or kernels not in self.speeds:
            return None
        return self.speeds[kernels] / self.speeds["C"]


def kernel_speeds(ggml: Ggml | None, rows: int, repeats: int) -> Iterator[KernelSpeed]:
    """Medians of `repeats` runs over the same normal rows, the implementations in turns."""
    every = np.random.default_rng(0).standard_normal((rows, _COLS), np.float32)
    for name in list(QUANTIZERS)[1:]:  # the first, F32, is not a work
        imatrix = np.ones(_COLS, np.float32) if name in _NEED_IMATRIX else None
        values = every[: _enough(name, every[: rows // 64], imatrix)]
        runs = _runs(name, values, imatrix, ggml)
        for run in runs.values():
            run()  # compiles, and makes scratch arrays
        seconds: dict[str, list[float]] = {kernels: [] for kernels in runs}
        for _ in range(repeats):
            for kernels, run in runs.items():
                started = time.perf_counter()
                run()
                seconds[kernels].append(time.perf_counter() - started)
        quantizer = QUANTIZERS[name]
        lost = quantizer.dequantize(quantizer.quantize(values, imatrix)) - values
        yield KernelSpeed(
            name,
            {k: values.size / statistics.median(found) / 1e6 for k, found in seconds.items()},
            float(np.sqrt(np.mean(lost**2) / np.mean(values**2))),
        )


def _enough(name: str, some: NDArray[np.float32], imatrix: NDArray[np.float32] | None) -> int:
    """How many rows NumPy makes in the time that a run may take."""
    quantizer = QUANTIZERS[name]
    quantizer.quantize(some, imatrix)  # tables that are made once
    started = time.perf_counter()
    quantizer.quantize(some, imatrix)
    return max(len(some), int(len(some) * _LONGEST / (time.perf_counter() - started)))


def _runs(
    name: str, values: NDArray[np.float32], imatrix: NDArray[np.float32] | None, ggml: Ggml | None
) -> dict[str, Callable[[], object]]:
    def ours(kernels: str) -> Callable[[], object]:
        quantizer = load(name, kernels)
        return lambda: quantizer.quantize(values, imatrix)

    runs = {"numpy": ours("numpy")}
    if "numba" in available() and name in TWINS:
        runs["numba"] = ours("numba")
    if ggml is not None:
        kind = QUANTIZERS[name].type
        runs["C"] = lambda: ggml.quantize(kind, values, imatrix)
    return runs
