"""How long quantizing takes here: each type is tried on a few rows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import numpy as np

from quantize.execution.kernel_sets import choose_kernels
from quantize.execution.memory import cores
from quantize.options.run import RunOptions
from quantize.quantizers import load

# Large enough that a call's own cost does not show, small enough that all types take a second.
_ROWS, _COLS = 64, 1024


class Pace:
    """Weights a second by ggml type, measured on first use; all workers together."""

    def __init__(self, settings: RunOptions, *, weighted: bool) -> None:
        self._kernels = choose_kernels(settings.kernels)
        self._jobs = settings.jobs or cores()
        self._weighted = weighted
        self._measured: dict[str, float] = {}

    def seconds(self, elements: Mapping[str, int]) -> float:
        """For so many weights of each type, reading not counted."""
        return sum(count / self._rate(type) for type, count in elements.items()) / self._jobs

    def _rate(self, type: str) -> float:
        if type not in self._measured:
            self._measured[type] = _measure(type, self._kernels, weighted=self._weighted)
        return self._measured[type]


def _measure(type: str, kernels: str, *, weighted: bool) -> float:
    quantizer = load(type, kernels)
    rows = np.random.default_rng(0).standard_normal((_ROWS, _COLS), np.float32)
    imatrix = np.ones(_COLS, np.float32) if weighted else None
    quantizer.quantize(rows[:1], imatrix)  # what is compiled or loaded once is not part of the pace
    started = time.perf_counter()
    quantizer.quantize(rows, imatrix)
    return rows.size / max(time.perf_counter() - started, 1e-9)


def seconds_of(
    all_elements: Iterable[Mapping[str, int]], settings: RunOptions, *, weighted: bool = False
) -> list[float]:
    """The time of each, in the same order; `weighted` with an importance matrix."""
    pace = Pace(settings, weighted=weighted)
    return [pace.seconds(elements) for elements in all_elements]
