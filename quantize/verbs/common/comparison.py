"""What a comparison of two models says: key-values, tensors, and the error of each tensor."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from quantize.checkpoints.source import SourceKind
from quantize.formats.kv import KV
from quantize.measuring.grouped import MeasuredTensor
from quantize.tensors import Shape
from quantize.verifying.reproduction import encoded

# What only a file has, and a checkpoint has no opinion about.
_OF_A_FILE = ("general.file_type", "general.quantization_version")


@dataclass(frozen=True, slots=True)
class SideFacts:
    """One side: `kind` is "gguf" or "checkpoint", `nbytes_by_type` what its tensors take."""

    name: str
    location: str
    kind: SourceKind
    arch: str
    tensors: int
    n_params: int
    nbytes_by_type: Mapping[str, int]

    @property
    def nbytes(self) -> int:
        return sum(self.nbytes_by_type.values())

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.nbytes / max(self.n_params, 1)


@dataclass(frozen=True, slots=True)
class KVDifference:
    """A key with another value or value type, or on one side only."""

    key: str
    reference: KV | None
    other: KV | None


@dataclass(frozen=True, slots=True)
class TensorDifference:
    """A tensor of another shape, or on one side only: None stands for the side that lacks it."""

    name: str
    reference: Shape | None
    other: Shape | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`other` held against `reference`.

    `measured` are tensors of the same name and shape on both sides, in the order of the
    reference: all `comparable` ones, or a sample of them.
    """

    reference: SideFacts
    other: SideFacts
    kvs: tuple[KVDifference, ...]
    tensors: tuple[TensorDifference, ...]
    comparable: int
    measured: tuple[MeasuredTensor, ...]


def kv_differences(
    reference: Sequence[KV], other: Sequence[KV], kinds: Collection[str]
) -> tuple[KVDifference, ...]:
    """In the order of the reference, then what only the other has. `kinds` are of the sides."""
    a, b = ({kv.key: kv for kv in kvs} for kvs in (reference, other))
    bytes_a, bytes_b = encoded(reference), encoded(other)
    ignored = _OF_A_FILE if "checkpoint" in kinds else ()
    return tuple(
        KVDifference(key, a.get(key), b.get(key))
        for key in a | b
        if key not in ignored and bytes_a.get(key) != bytes_b.get(key)
    )
