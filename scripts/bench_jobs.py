"""Whole jobs: seconds and memory of conversions, beside llama.cpp's quantizer, and start-up times.

Every run is a process of its own, so nothing is warm but the page cache and numba's cache on disk.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_model import LLAMA_70B, LlamaShape, write_llama

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.process_memory import Measured, measure  # noqa: E402 - found by the line above

# Runs the rest of its arguments on the first core only.
_ONE_CORE = "import os, sys; os.sched_setaffinity(0, {0}); os.execv(sys.argv[1], sys.argv[1:])"

# The command, with threads or processes for kernels that would not choose them by themselves.
_WORKERS = """
import sys
from quantize.cli import main
from quantize.execution import settings
kernels, processes, *sys.argv[1:] = sys.argv[1:]
settings.PROCESSES[kernels] = processes == "processes"
main()
"""


@dataclass(frozen=True, slots=True)
class Job:
    """Medians of several runs of one command."""

    seconds: float
    resident: float
    anonymous: float


class Bench:
    """Runs jobs in the folder `work`, each `repeats` times.

    `oracle` is a Python that can import llama_cpp, or None.
    """

    def __init__(self, work: Path, repeats: int, jobs: int, oracle: Path | None) -> None:
        self.work = work
        self.repeats = repeats
        self.jobs = jobs
        self.oracle = oracle
        self._converted: dict[tuple[Path, str], Job] = {}
        # An installed package has its bytecode; a checkout may be told to have none.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(work / "bytecode")

    def model(self, shape: LlamaShape) -> Path:
        """The checkpoint of a shape, written on first use."""
        folder = self.work / f"llama-{shape.layers}x{shape.hidden}"
        if not folder.exists():
            write_llama(folder, shape)
        return folder

    def convert(self, model: Path, kernels: str) -> Job:
        """Q4_K_M of a checkpoint with a worker for each core; measured once."""
        if (model, kernels) not in self._converted:
            command = self._convert(model, "Q4_K_M", kernels, self.jobs)
            self._converted[model, kernels] = self._median(command, self.repeats)
        return self._converted[model, kernels]

    def bf16(self, model: Path) -> Path:
        """The BF16 file of a checkpoint, which llama.cpp's quantizer starts from."""
        found = list(self.work.glob(f"bf16/{model.name}-BF16.gguf"))
        if not found:
            command = self._convert(model, "BF16", "auto", self.jobs)
            command[command.index("--output") + 1] = str(self.work / "bf16")
            (self.work / "bf16").mkdir(exist_ok=True)
            measure(command, ROOT)
            found = list(self.work.glob("bf16/*.gguf"))
        return found[0]

    def llama_quantize(self, model: Path) -> Job | None:
        """What llama.cpp's quantizer takes from the BF16 file on; None without an oracle."""
        if self.oracle is None:
            return None
        script = ROOT / "scripts" / "llama_quantize.py"
        command = [
            str(self.oracle), str(script), str(self.bf16(model)),
            str(self.work / "llama.gguf"), "Q4_K_M", str(self.jobs),
        ]  # fmt: skip
        return self._median(command, self.repeats)

    def workers(self, model: Path, kernels: str, *, processes: bool) -> tuple[Job, Job, Job]:
        """One worker on one core, then as many as there are cores: threads, or processes.

        Last, once, the kind that was not asked for.
        """
        several = self._convert(model, "Q4_K_M", kernels, self.jobs)
        one = _on_one_core(self._convert(model, "Q4_K_M", kernels, 1))
        chosen, other = (
            [sys.executable, "-c", _WORKERS, kernels, kind, *several[3:]]
            for kind in (("processes", "threads") if processes else ("threads", "processes"))
        )
        first, second = self._medians([one, chosen], self.repeats)
        return first, second, self._median(other, 1)

    def help(self) -> Job:
        return self._median([sys.executable, "-m", "quantize", "--help"], self.repeats)

    def python(self) -> Job:
        """An interpreter that does nothing."""
        return self._median([sys.executable, "-c", "pass"], self.repeats)

    def plan(self) -> Job:
        """`plan` of a 70B model's headers in 30 shards."""
        folder = self.work / "llama-70b"
        if not folder.exists():
            write_llama(folder, LLAMA_70B, sparse=True, shards=30)
        command = [sys.executable, "-m", "quantize", "plan", str(folder), "--type", "Q4_K_M"]
        return self._median(command, self.repeats)

    def _convert(self, model: Path, type: str, kernels: str, jobs: int) -> list[str]:
        return [
            sys.executable, "-m", "quantize", "convert", str(model), "--type", type,
            "--output", str(self._output()), "--kernels", kernels, "--jobs", str(jobs),
            "--fresh", "--quiet",
        ]  # fmt: skip

    def _output(self) -> Path:
        return self.work / "output"

    def _median(self, command: Sequence[str], repeats: int) -> Job:
        (job,) = self._medians([command], repeats)
        return job

    def _medians(self, commands: Sequence[Sequence[str]], repeats: int) -> list[Job]:
        """Of each command; they run in turns, since the machine is not the same all the time."""
        runs: list[list[Measured]] = [[] for _ in commands]
        for _ in range(repeats):
            for command, own in zip(commands, runs, strict=True):
                shutil.rmtree(self._output(), ignore_errors=True)
                self._output().mkdir()
                own.append(measure(command, ROOT))
        shutil.rmtree(self._output())
        (self.work / "llama.gguf").unlink(missing_ok=True)
        return [_job_of(own) for own in runs]


def _job_of(runs: Sequence[Measured]) -> Job:
    def median(of: Callable[[Measured], float]) -> float:
        return statistics.median(map(of, runs))

    return Job(
        median(lambda run: run.seconds),
        median(lambda run: run.resident),
        median(lambda run: run.anonymous),
    )


def oracle_python(environment: Path) -> Path | None:
    """The Python of a virtual environment with llama-cpp-python, if there is one."""
    for python in (environment / "bin" / "python", environment / "Scripts" / "python.exe"):
        if python.is_file():
            probe = subprocess.run([python, "-c", "import llama_cpp"], check=False)  # noqa: S603 - a person's
            return python if probe.returncode == 0 else None
    return None


def _on_one_core(command: Sequence[str]) -> list[str]:
    return [sys.executable, "-c", _ONE_CORE, *command]
