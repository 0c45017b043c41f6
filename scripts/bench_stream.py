#!/usr/bin/env python3
"""Measure `--stream` against converting the same files from a folder, in turns.

    python scripts/bench_stream.py [--quick] [--work DIR] [--repeats N]

A checkpoint of 2.5 GB is generated and served by the tests' Hub, in a process of its own, from the
page cache: a server that is as fast as the machine allows, and shares its cores with the client.
What is printed is for docs/benchmarks.md. It ends with 1 when a target is missed. `--quick` uses a
small checkpoint, whose ratio says nothing. The full run needs 5 GB of disk in DIR.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from bench_jobs import ROOT
from bench_model import LLAMA_1B, LlamaShape, write_llama

from quantize.storage.local import sha256_of
from quantize.units import format_bytes
from tests.support.hub_client import environment
from tests.support.hub_server import Content, HubServer, Repo

_SMALL = LlamaShape(layers=4, hidden=1024, intermediate=2048, heads=16, vocabulary=32000)
_REPO = "org/model"
_TYPE = "Q4_K_M"

_RATIO = 1.3  # times as long as from a folder, at most
_MEMORY = 600_000_000  # bytes, at most
_SMALL_FILES = 20_000_000  # bytes of config, tokenizer and journal that may be written as well

# Not ru_maxrss: a child's begins with what its parent had when it forked.
_PROGRAM = """
import json, re, sys, time
from pathlib import Path
from quantize.cli import main
started = time.perf_counter()
try:
    main()
finally:
    seconds = time.perf_counter() - started
    peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
    written = re.search(r"\\nwrite_bytes: (\\d+)", Path("/proc/self/io").read_text())
    found = {
        "seconds": seconds,
        "cpu": time.process_time(),
        "peak": int(peak[1]) * 1024,
        "written": int(written[1]),
    }
    print(json.dumps(found), file=sys.stderr)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One conversion: seconds of the clock and of the cores, bytes at the peak and on the disk."""

    seconds: float
    cpu: float
    peak: int
    written: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="a small checkpoint")
    parser.add_argument("--work", type=Path, help="where files are made; removed afterwards")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each kind")
    arguments = parser.parse_args()
    shape = _SMALL if arguments.quick else LLAMA_1B
    with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.work) as work:
        return _measure(Path(work), shape, arguments.repeats)


def _measure(work: Path, shape: LlamaShape, repeats: int) -> int:
    folder = work / "model"
    write_llama(folder, shape, shards=2)
    ours, theirs = multiprocessing.Pipe()
    # Not a fork: the server must have an interpreter, and a lock, of its own.
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(folder, theirs), daemon=True
    )
    process.start()
    environ = environment(ours.recv(), work / "home")
    _convert(str(folder), [], work / "local", environ)  # kernels are compiled once, and kept
    locals_, streams = [], []
    for _ in range(repeats):
        locals_.append(_convert(str(folder), [], work / "local", environ))
        streams.append(_convert(_REPO, ["--stream"], work / "stream", environ))
    ours.send(None)
    process.join()
    return _report(work, locals_, streams)


def _serve(folder: Path, parent: Connection) -> None:
    """A Hub with the checkpoint, until the parent says something."""
    files = {
        path.name: Content(path, sha256_of(path)) if path.suffix == ".safetensors" else path
        for path in folder.iterdir()
    }
    with HubServer({_REPO: Repo(files)}) as hub:
        parent.send(hub.url)
        with contextlib.suppress(EOFError):
            parent.recv()


def _convert(source: str, way: Sequence[str], output: Path, environ: Mapping[str, str]) -> Run:
    arguments = ["convert", source, *way, "--type", _TYPE, "--name", "Model", "--quiet", "--fresh"]
    done = subprocess.run(  # noqa: S603 - our own interpreter and program
        [sys.executable, "-c", _PROGRAM, *arguments, "--output", str(output)],
        cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    return Run(**json.loads(done.stderr.splitlines()[-1]))


def _report(work: Path, locals_: Sequence[Run], streams: Sequence[Run]) -> int:
    def median(of: Callable[[Run], float], runs: Sequence[Run]) -> float:
        return statistics.median(map(of, runs))

    size = sum(path.stat().st_size for path in (work / "model").iterdir())
    output = sum(path.stat().st_size for path in (work / "stream").iterdir())
    cached = [path for path in (work / "home").rglob("*") if path.is_file()]
    print("## Streaming\n")
    print(
        f"{format_bytes(size)} in BF16 to {_TYPE} from a folder and, in turns, with `--stream` "
        "from a Hub on the same machine. Memory is resident; written is what reached a file "
        "system.\n"
    )
    print("|  | seconds | of cores | memory | written |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, runs in (("folder", locals_), ("`--stream`", streams)):
        cells = [f"{median(lambda run: run.seconds, runs):.1f}"]
        cells += [f"{median(lambda run: run.cpu, runs):.1f}"]
        cells += [format_bytes(max(run.peak for run in runs))]
        cells += [format_bytes(max(run.written for run in runs))]
        print(f"| {name} | {' | '.join(cells)} |")
    ratio = median(lambda run: run.seconds, streams) / median(lambda run: run.seconds, locals_)
    peak = max(run.peak for run in streams)
    beside = max(run.written for run in streams) - output
    kept = max((path.stat().st_size for path in cached), default=0)
    print(f"\nTime of a stream: {ratio:.2f}x that of a folder, at most {_RATIO}x.")
    print(f"Memory of a stream: {format_bytes(peak)}, at most {format_bytes(_MEMORY)}.")
    print(
        f"Written beside the output: {format_bytes(max(beside, 0))}; the largest file in the Hub's "
        f"cache has {format_bytes(kept)}."
    )
    met = ratio <= _RATIO and peak <= _MEMORY and max(beside, kept) <= _SMALL_FILES
    same = _digests(work / "local") == _digests(work / "stream")
    print(f"Same bytes: {'yes' if same else 'NO'}. Targets: {'met' if met else 'MISSED'}.")
    return 0 if met and same else 1


def _digests(folder: Path) -> set[str]:
    return {sha256_of(path) for path in folder.glob("*.gguf")}


if __name__ == "__main__":
    sys.exit(main())
