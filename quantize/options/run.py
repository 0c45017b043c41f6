"""How a run is done. None of it changes a byte of an output."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from quantize.options.declare import Group, Size, option, switch

_PANEL = "The run"


class KernelSet(StrEnum):
    AUTO = "auto"
    NUMPY = "numpy"
    NUMBA = "numba"


@dataclass(frozen=True, kw_only=True)
class WorkerOptions(Group):
    """Workers: one for each core this process may use by default. Their memory: see memory.py."""

    jobs: int | None = option(
        None,
        "--jobs",
        "-j",
        kind=int,
        limits=(1, None),
        metavar="N",
        help="Workers. Each core gets one by default.",
        panel=_PANEL,
    )
    max_memory: int | str | None = option(
        None,
        "--max-memory",
        kind=Size,
        metavar="SIZE",
        help="What all workers together may take: 600MB, 4G, 2.5GiB.",
        panel=_PANEL,
    )

    @property
    def memory_bound(self) -> int | None:
        """`max_memory` in bytes."""
        return None if self.max_memory is None else int(self.max_memory)

    def without(self, memory: int) -> Self:
        """With `memory` bytes of the bound for somebody else."""
        bound = self.memory_bound
        return self if bound is None else replace(self, max_memory=bound - memory)


@dataclass(frozen=True, kw_only=True)
class KernelOptions(WorkerOptions):
    """The same, and which set of kernels computes."""

    kernels: str = option(
        "auto",
        "--kernels",
        kind=KernelSet,
        metavar="|".join(KernelSet),
        help="Which implementation computes. The bytes are the same.",
        panel=_PANEL,
        shows_default=True,
    )


@dataclass(frozen=True, kw_only=True)
class RunOptions(KernelOptions):
    """All about a run of the engine."""

    fresh: bool = switch(
        "--fresh",
        help="Do not continue what an interrupted run left behind.",
        panel=_PANEL,
    )
    report: bool = switch(
        "--report",
        help="Measure what is lost of the weights meanwhile: FILE.report.html and .json.",
        panel=_PANEL,
    )
