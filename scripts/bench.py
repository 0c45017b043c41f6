#!/usr/bin/env python3
"""Measure kernels, whole jobs, growth and start-up, and write the tables to docs/benchmarks.md.

    python scripts/bench.py [--quick] [--work DIR] [--oracle ENVIRONMENT]

What is compared runs in turns in one session; numbers are medians. `--quick` shows on small models
that everything runs, prints the tables and writes nothing. The oracle is a virtual environment with
llama-cpp-python (`make oracle`); without it the columns of llama.cpp stay empty. The full run takes
half an hour, 12 GB of disk in DIR and the machine for itself.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from bench_jobs import ROOT, Bench, Job, oracle_python
from bench_kernels import KernelSpeed, kernel_speeds
from bench_model import LLAMA_1B, LlamaShape
from ggml import Ggml

from quantize.execution.kernel_sets import PROCESSES
from quantize.execution.memory import cores
from quantize.kernels import available
from quantize.units import format_bytes, format_count

RESULTS = ROOT / "docs" / "benchmarks.md"
# With a small vocabulary: most of a larger one is Q6_K, and more layers would change that share.
_GROWING = LlamaShape(layers=16, hidden=1024, intermediate=4096, heads=16, vocabulary=32000)
_SMALL = LlamaShape(layers=4, hidden=1024, intermediate=2048, heads=16, vocabulary=32000)


# kernel -> at least so many times as fast as ggml's C
_KERNEL_TARGETS = {
    "Q4_K": {"numpy": 1.0, "numba": 8.0},
    "Q6_K": {"numpy": 0.8, "numba": 5.0},
    "Q8_0": {"numpy": 0.8, "numba": 2.0},
}
_JOB_TARGETS = {"numpy": 1.0, "numba": 0.25}  # of llama-quantize's time, at most
_MEMORY_TARGET = 0.4  # of llama-quantize's, at most
_GROWTH_TARGET = 1.1  # time for each weight at 4x the layers, of that at 1x, at most
_CORES_TARGET = 1.8  # times as fast with every core as on one, at least

Row = Sequence[str]


class Report:
    """Markdown, printed as it grows, and the targets as they are met or missed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.targets: list[Row] = []

    def add(self, *lines: str) -> None:
        for line in lines:
            self.lines.append(line)
            print(line, flush=True)

    def table(self, head: Row, rows: Iterator[Row] | Sequence[Row]) -> None:
        self.add(_line(head), _line(["---"] + ["---:"] * (len(head) - 1)))
        for row in rows:
            self.add(_line(row))
        self.add("")

    def target(self, what: str, ratio: float | None, bound: float, *, least: bool) -> None:
        """Note a ratio that must be at least, or at most, `kept`."""
        if ratio is not None:
            met = ratio >= bound if least else ratio <= bound
            side = "at least" if least else "at most"
            self.targets.append([what, f"{side} {bound}x", f"{ratio:.2f}x", "yes" if met else "NO"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="small models, nothing written")
    parser.add_argument("--work", type=Path, help="where models are made; removed afterwards")
    parser.add_argument("--oracle", type=Path, default=ROOT / ".venv-oracle", help="environment")
    arguments = parser.parse_args()
    quick: bool = arguments.quick
    report = Report()
    report.add("# Benchmarks", "", *_machine(arguments.oracle), "")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.work) as work:
        bench = Bench(Path(work), 1 if quick else 3, cores(), oracle_python(arguments.oracle))
        _kernels(report, arguments.oracle, 512 if quick else 4096, 3 if quick else 5)
        shape = _SMALL if quick else LLAMA_1B
        _jobs(report, bench, shape)
        _workers(report, bench, shape)
        _growth(report, bench, replace(_GROWING, layers=1) if quick else _GROWING)
        _start_up(report, bench)
    if not quick:  # they are for models of a size that is worth waiting for
        report.add("## Targets", "")
        report.table(["what", "target", "measured", "met"], report.targets)
        RESULTS.write_text("\n".join(report.lines).rstrip() + "\n", encoding="utf-8")


def _machine(oracle: Path) -> list[str]:
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{name} {metadata.version(name)}" for name in ("numpy", *available()[1:])]
    found = list(oracle.glob("lib/python*/site-packages/llama_cpp_python-*.dist-info"))
    versions += [found[0].name.removesuffix(".dist-info").replace("_", "-")] if found else []
    system = f"{platform.system()} {platform.release()}; {', '.join(versions)}"
    return [
        f"{_processor()}, {cores()} cores, {format_bytes(_memory())} of memory; {system}.",
        "",
        "Written by `make bench`. Medians; what is compared ran in one session. Each whole job is",
        "a process of its own, started with the checkpoint in the page cache.",
    ]


def _kernels(report: Report, oracle: Path, rows: int, repeats: int) -> None:
    report.add(
        "## Kernels",
        "",
        "Million weights a second on one core. C is `ggml_quantize_chunk`. Error: root mean square "
        "of what is lost on normal weights, relative to theirs.",
        "",
    )
    # Behind our own packages: only what is nowhere else is found there.
    sys.path += map(str, oracle.glob("lib/python*/site-packages"))
    try:
        ggml: Ggml | None = Ggml()
    except FileNotFoundError:
        ggml = None
    speeds = {speed.type: speed for speed in kernel_speeds(ggml, rows, repeats)}
    report.table(
        ["type", "NumPy", "numba", "C", "NumPy / C", "numba / C", "error"],
        [_kernel_row(speed) for speed in speeds.values()],
    )
    for type, bounds in _KERNEL_TARGETS.items():
        for kernels, bound in bounds.items():
            ratio = speeds[type].ratio(kernels)
            report.target(f"{type} kernel, {kernels}, against C", ratio, bound, least=True)


def _kernel_row(speed: KernelSpeed) -> Row:
    def number(value: float | None, digits: int = 1) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    measured = [number(speed.speeds.get(name)) for name in ("numpy", "numba", "C")]
    ratios = [number(speed.ratio(name), 2) for name in ("numpy", "numba")]
    return [speed.type, *measured, *ratios, f"{speed.error:.5f}"]


def _jobs(report: Report, bench: Bench, shape: LlamaShape) -> None:
    model = bench.model(shape)
    report.add(
        "## A whole job",
        "",
        f"A Llama of {format_count(shape.weights)} weights in BF16 to Q4_K_M with {bench.jobs} "
        "workers. llama-quantize starts from a BF16 GGUF file that a converter has to write first. "
        "Memory counts all processes; without mapped files in the last column.",
        "",
    )
    theirs = bench.llama_quantize(model)
    rows = []
    for kernels in available():
        job = bench.convert(model, kernels)
        rows.append(_job_row(f"quantize, {kernels}", job))
        what = f"whole job, {kernels}"
        if theirs is not None:
            time = job.seconds / theirs.seconds
            report.target(
                f"{what}, time of llama-quantize", time, _JOB_TARGETS[kernels], least=False
            )
            memory = job.resident / theirs.resident
            report.target(f"{what}, memory of llama-quantize", memory, _MEMORY_TARGET, least=False)
    if theirs is not None:
        rows.append(_job_row("llama-quantize alone", theirs))
    report.table(["", "seconds", "memory", "anonymous"], rows)


def _job_row(name: str, job: Job) -> Row:
    memory = [format_bytes(job.resident), format_bytes(job.anonymous)]
    return [name, f"{job.seconds:.1f}", *memory]


def _workers(report: Report, bench: Bench, shape: LlamaShape) -> None:
    model = bench.model(shape)
    report.add(
        "## Threads or processes",
        "",
        f"Seconds for {format_count(shape.weights)} weights to Q4_K_M: one worker on one core, "
        f"then {bench.jobs} workers of the kind that these kernels get, and once of the other.",
        "",
    )
    rows = []
    for kernels in available():
        kinds = ("processes", "threads") if PROCESSES[kernels] else ("threads", "processes")
        one, job, other = bench.workers(model, kernels, processes=PROCESSES[kernels])
        rows.append([
            kernels, f"{one.seconds:.1f}",
            f"{job.seconds:.1f} {kinds[0]}", format_bytes(job.resident),
            f"{other.seconds:.1f} {kinds[1]}", format_bytes(other.resident),
        ])  # fmt: skip
        gain = one.seconds / job.seconds
        what = f"{bench.jobs} workers against one, {kernels}"
        report.target(what, gain, _CORES_TARGET, least=True)
    report.table(["kernels", "one", "chosen", "memory", "other", "memory"], rows)


def _growth(report: Report, bench: Bench, shape: LlamaShape) -> None:
    report.add("## Growth", "", "A Llama with more and more layers.", "")
    rows = []
    for kernels in available():
        pace: list[float] = []
        for factor in (1, 2, 4):
            larger = replace(shape, layers=factor * shape.layers)
            job = bench.convert(bench.model(larger), kernels)
            pace.append(1e9 * job.seconds / larger.weights)
            rows.append([
                f"{kernels}, {larger.layers} layers", format_count(larger.weights),
                f"{job.seconds:.1f}", f"{pace[-1]:.2f}", format_bytes(job.resident),
            ])  # fmt: skip
        growth = pace[-1] / pace[0]
        report.target(f"time for each weight at 4x, {kernels}", growth, _GROWTH_TARGET, least=False)
    report.table(["", "weights", "seconds", "ns for each weight", "memory"], rows)


def _start_up(report: Report, bench: Bench) -> None:
    report.add("## Start-up", "", "`plan` reads the headers of a 70B model in 30 shards.", "")
    nothing, help_, plan = bench.python(), bench.help(), bench.plan()
    rows = [
        [name, f"{job.seconds:.2f}", format_bytes(job.resident)]
        for name, job in (("python -c pass", nothing), ("--help", help_), ("plan", plan))
    ]
    report.table(["", "seconds", "memory"], rows)
    for name, job, limit in (("--help", help_, 0.5), ("plan of 70B headers", plan, 2.0)):
        seconds = job.seconds - nothing.seconds
        met = "yes" if seconds <= limit else "NO"
        row = [f"`{name}` after starting Python", f"at most {limit} s", f"{seconds:.2f} s", met]
        report.targets.append(row)


def _line(cells: Row) -> str:
    return f"| {' | '.join(cells)} |"


def _processor() -> str:
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> int:
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 0


if __name__ == "__main__":
    main()
