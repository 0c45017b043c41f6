#!/usr/bin/env python3
"""Measure what `convert --report` costs, in turns with conversions without it.

    python scripts/bench_report.py [--work DIR] [--repeats N]

A Llama of 277 million weights is generated. Of each kind of kernels and type, medians over the
repeats: seconds of the clock and of the processors, and the ratio of these within each pair, which
tells most on a machine that others use too. Needs 1 GB of disk in DIR.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_model import LlamaShape, write_llama

from quantize.kernels import available

_SHAPE = LlamaShape(
    layers=10, hidden=1536, intermediate=4096, heads=24, kv_heads=8, vocabulary=16384
)
_TYPES = ("Q8_0", "Q4_K_M")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--work", type=Path, help="where files are made; removed afterwards")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of each kind, made even")
    arguments = parser.parse_args()
    print("| kernels | type | seconds | with a report | processor | with a report | ratio |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.work) as work:
        write_llama(Path(work) / "model", _SHAPE)
        for kernels in available():
            for type in _TYPES:
                print(_row(Path(work), kernels, type, arguments.repeats), flush=True)


def _row(work: Path, kernels: str, type: str, repeats: int) -> str:
    _run(work, kernels, type, report=True)  # what is compiled at first use is not measured
    pairs = [
        # Whichever comes first meets another machine than the second.
        {report: _run(work, kernels, type, report=report) for report in order}
        for order in ([False, True], [True, False]) * -(-repeats // 2)
    ]
    clock, processor = (
        [statistics.median(pair[report][n] for pair in pairs) for report in (False, True)]
        for n in (0, 1)
    )
    ratio = statistics.median(pair[True][1] / pair[False][1] for pair in pairs)
    numbers = " | ".join(f"{seconds:.2f}" for seconds in (*clock, *processor))
    return f"| {kernels} | {type} | {numbers} | {ratio:.3f} |"


def _run(work: Path, kernels: str, type: str, *, report: bool) -> tuple[float, float]:
    """Seconds of the clock and of the processors, those of workers too."""
    command = [sys.executable, "-m", "quantize", "convert", str(work / "model"), "--type", type]
    command += ["--kernels", kernels, "--output", str(work / "out"), "--quiet"]
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, *(["--report"] if report else [])], check=True)  # noqa: S603 - our own
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, spent


if __name__ == "__main__":
    main()
