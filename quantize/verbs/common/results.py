"""What the verbs of the api answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quantize.checkpoints.source import SourceKind
from quantize.execution import Needs, Shard
from quantize.formats.kv import KeyValues
from quantize.planning.plan import Plan
from quantize.tensors import Shape
from quantize.verbs.common.comparison import Comparison


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """Where the weights come from. `nbytes` is what will be read, `commit` the Hub's.

    `downloads` are files of a repository that are not in the Hub's cache, with their sizes.
    """

    name: str
    location: str
    arch: str
    repo: str | None
    commit: str | None
    nbytes: int
    n_params: int
    downloads: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Planned:
    """What a conversion would do: one plan for each type, in the order of the options.

    `notes` are what a person should know of it, a line each.
    """

    source: SourceFacts
    plans: tuple[Plan, ...]
    needs: Needs
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutputFile:
    """What was made of one type: `shards` if it is split, whose first one `path` and `sha256` name.

    `size` is that of all.
    """

    path: Path
    type: str
    size: int
    bits_per_weight: float
    sha256: str
    shards: tuple[Shard, ...] = ()

    @property
    def files(self) -> tuple[Shard, ...]:
        return self.shards or (Shard(self.path, self.size, self.sha256),)


@dataclass(frozen=True, slots=True)
class Converted:
    """What a conversion did. `reports` say what each file lost, if that was asked for."""

    source: SourceFacts
    files: tuple[OutputFile, ...]
    modelfiles: tuple[Path, ...]
    manifest: Path
    seconds: float
    kernels: str
    reports: tuple[Comparison, ...] = ()


@dataclass(frozen=True, slots=True)
class InspectedTensor:
    """`type` is a ggml type in a GGUF file, a dtype in a checkpoint."""

    name: str
    shape: Shape
    type: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a source holds. A checkpoint's key-values are those that its GGUF file would have."""

    kind: SourceKind
    name: str
    arch: str
    kvs: KeyValues
    tensors: tuple[InspectedTensor, ...]
