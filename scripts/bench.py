#!/usr/bin/env python3
"""Print speed and error of every quantizer on one core, beside ggml's C where it is installed.

    python scripts/bench.py [--quick]

Speed is the median of several runs over the same normal rows, in million weights a second; C is
`ggml_quantize_chunk` (extra `oracle`). Error is the root mean square of what is lost, relative to
that of the rows.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from ggml import Ggml

from quantize.quantizers import QUANTIZERS

COLS = 2048


def seconds(work: Callable[[], object], repeats: int) -> float:
    work()  # scratch arrays and tables are made on first use
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="an eighth of the data")
    quick: bool = parser.parse_args().quick
    count = 512 if quick else 4096
    rows = np.random.default_rng(0).standard_normal((count, COLS), np.float32)
    try:
        ggml = Ggml()
    except FileNotFoundError:
        ggml = None
    print(f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}, "
          f"{rows.size:,} weights")  # fmt: skip
    print("type    NumPy Mw/s    C Mw/s    ratio    error")
    for name in list(QUANTIZERS)[1:]:  # the first, F32, is no work
        quantizer = QUANTIZERS[name]
        data = quantizer.quantize(rows)
        lost = quantizer.dequantize(data) - rows
        error = float(np.sqrt(np.mean(lost**2) / np.mean(rows**2)))
        ours = rows.size / seconds(partial(quantizer.quantize, rows), 5) / 1e6
        c_speed, ratio = "-", "-"
        if ggml is not None:
            theirs = rows.size / seconds(partial(ggml.quantize, quantizer.type, rows), 5) / 1e6
            c_speed, ratio = f"{theirs:.1f}", f"{ours / theirs:.2f}"
        print(f"{name:6}{ours:12.1f}{c_speed:>10}{ratio:>9}{error:>9.5f}", flush=True)


if __name__ == "__main__":
    main()
