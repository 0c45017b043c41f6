"""What a run gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantize.execution.error_sums import TensorQuality


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
