"""The Plan: every tensor's source, transform, type, size and offset, known before a weight is read.

A plan is frozen plain data. What a task writes depends on (plan, task, source) alone, so tasks can
run anywhere and in any order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from quantize.formats.gguf_split import part_names
from quantize.formats.imatrix import ImatrixEntry
from quantize.formats.kv import KeyValues
from quantize.formats.metric import Metric
from quantize.tensors import GGML_TYPES, Shape, as_rows, count
from quantize.transforms import Transform, split_at_whole


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """One tensor of the output.

    `full_shape` is the shape that `transform` gives from `sources`; `shape` the one written (a
    leading dimension of 1 is dropped, as llama-quantize does). `offset` counts from the start of
    the file. `values` are the raw float32 bytes of a generated tensor, which has no sources.
    `repacked`: the source's blocks are moved (Source.repack_rows), not decoded and quantized again.
    `fixed_nbytes`: memory that any range of rows takes on top of its own. `imatrix` says how much
    its columns matter, those of each matrix of a stack after one another. `metric`, in place of
    that, says what all errors of a row cost together.
    """

    name: str
    shape: Shape
    type: str
    reason: str
    offset: int
    nbytes: int
    sources: tuple[str, ...]
    transform: Transform
    full_shape: Shape
    values: bytes | None = None
    repacked: bool = False
    fixed_nbytes: int = 0
    imatrix: ImatrixEntry | None = None
    metric: Metric | None = None

    @property
    def rows(self) -> int:
        return as_rows(self.full_shape)[0]

    @property
    def cols(self) -> int:
        return as_rows(self.full_shape)[1]

    @property
    def slices(self) -> int:
        """How many parts of `full_shape` are made one by one where columns are mixed."""
        if self.transform.needs_whole_tensor and split_at_whole(self.transform)[1].slicewise:
            return self.full_shape[0]
        return 1

    @property
    def row_nbytes(self) -> int:
        """Bytes of one row of `full_shape` in the output."""
        return GGML_TYPES[self.type].row_nbytes(self.cols)


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file of an output: `header` is at its start, `tensors` of them follow.

    `start` bytes are in the files before it, `size` in it.
    """

    header: bytes
    tensors: int
    start: int
    size: int


@dataclass(frozen=True)
class Plan:
    """One output: a file, or several that llama.cpp reads as one.

    Offsets count through all `files`, as if they stood behind each other. `kvs` are all key-values
    but those that number the files.
    """

    name: str
    arch: str
    recipe_name: str
    kvs: KeyValues
    tensors: tuple[PlannedTensor, ...]
    files: tuple[PlannedFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def header(self) -> bytes:
        """The bytes before the tensors of the first file."""
        return self.files[0].header

    @property
    def file_name(self) -> str:
        """Of the output as a whole; with several files, each is numbered after it."""
        return f"{self.name}-{self.recipe_name}.gguf"

    @cached_property
    def file_names(self) -> tuple[str, ...]:
        """As llama.cpp names them."""
        return part_names(self.file_name.removesuffix(".gguf"), len(self.files))

    @cached_property
    def n_params(self) -> int:
        """Number of elements of all tensors."""
        return sum(count(tensor.shape) for tensor in self.tensors)

    @cached_property
    def bits_per_weight(self) -> float:
        return 8 * sum(tensor.nbytes for tensor in self.tensors) / self.n_params

    @cached_property
    def nbytes_by_type(self) -> Mapping[str, int]:
        """Bytes of tensor data by ggml type, in order of first use."""
        totals: dict[str, int] = {}
        for tensor in self.tensors:
            totals[tensor.type] = totals.get(tensor.type, 0) + tensor.nbytes
        return totals

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that decides the output's bytes but the weights themselves."""
        sha = hashlib.sha256(b"".join(file.header for file in self.files))
        for tensor in self.tensors:
            facts = (tensor.name, tensor.type, tensor.offset, tensor.sources, tensor.transform)
            sha.update(repr(facts).encode())
            sha.update(tensor.values or b"")
            if tensor.imatrix is not None:
                sha.update(tensor.imatrix.digest.encode())
            if tensor.metric is not None:
                sha.update(tensor.metric.facts.encode())
        return sha.hexdigest()


@dataclass(frozen=True, slots=True)
class RowRange:
    """Rows lo..hi of a tensor."""

    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Task:
    """Rows lo..hi of the tensor at `index` of the plan."""

    index: int
    lo: int
    hi: int

    @property
    def rows(self) -> RowRange:
        return RowRange(self.lo, self.hi)


def tasks(plan: Plan, max_elements: int) -> Iterator[Task]:
    """Cut a plan's tensors into row ranges of at most `max_elements` weights (at least a row).

    A tensor whose transform mixes columns is a task for each of its slices.
    """
    for index, tensor in enumerate(plan.tensors):
        step = max(1, max_elements // max(tensor.cols, 1))
        if tensor.transform.needs_whole_tensor or tensor.values is not None:
            step = max(tensor.rows // tensor.slices, 1)
        for lo in range(0, tensor.rows, step):
            yield Task(index, lo, min(lo + step, tensor.rows))
