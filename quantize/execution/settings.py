"""What a caller may choose about a run, and what it gets back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quantize import kernels as kernel_sets
from quantize.errors import UsageError
from quantize.execution.error_sums import TensorQuality

# Whether a set of kernels holds the interpreter lock for most of its time, so that each worker
# needs a process of its own.
PROCESSES = {"numpy": True, "numba": False}


@dataclass(frozen=True, slots=True)
class Settings:
    """How to run. None of it changes a byte of the output.

    `jobs` workers (None: one for each core this process may use), at most `max_memory` bytes over
    all processes (None: see memory.py), a set of kernels ("auto", "numpy", "numba"). `fresh` does
    not continue what an earlier run left behind. `measures`: say what the types have lost.
    """

    jobs: int | None = None
    max_memory: int | None = None
    kernels: str = "auto"
    fresh: bool = False
    measures: bool = False

    def without(self, memory: int) -> Settings:
        """With `memory` bytes of the bound for somebody else."""
        if self.max_memory is None:
            return self
        return replace(self, max_memory=self.max_memory - memory)


@dataclass(frozen=True, slots=True)
class Shard:
    """One finished file; `sha256` is in hex."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Written:
    """One finished output, in one file or several.

    `tensors` has the SHA-256 of each tensor's bytes. `qualities` are of the measured rows of each
    tensor of the plan; none where nobody asked.
    """

    shards: tuple[Shard, ...]
    tensors: Mapping[str, str]
    kernels: str
    jobs: int
    qualities: Sequence[TensorQuality] = ()

    @property
    def path(self) -> Path:
        """The file that llama.cpp is given: it finds the others."""
        return self.shards[0].path

    @property
    def size(self) -> int:
        return sum(shard.size for shard in self.shards)

    @property
    def sha256(self) -> str:
        """Of the first file."""
        return self.shards[0].sha256


def choose_kernels(name: str) -> str:
    """The set that runs: the fastest one for "auto". Raises UsageError if it is not installed."""
    available = kernel_sets.available()
    if name == "auto":
        return available[-1]
    if name not in PROCESSES:
        raise UsageError(
            "unknown-kernels", f"{name!r} is no set of kernels", hint="auto, numpy or numba"
        )
    if name not in available:
        raise UsageError(
            "kernels-not-installed",
            f"the {name} kernels need a package that is not installed",
            where="--kernels",
            hint="pip install 'quantize-gguf[fast]', or --kernels numpy",
        )
    return name
