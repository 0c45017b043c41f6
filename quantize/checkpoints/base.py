"""Weights as the rest of the tool sees them, and what an encoding must do to give them.

An encoding says how a checkpoint stores its weights. It looks at the stored tensors once
(`resolve`) and gives each weight its parts and a layout: how any range of its rows is decoded,
reading only what those rows need. Rows are those of tensors.as_rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from quantize.arrays import F32Array, U8Array
from quantize.storage.source import ByteSource
from quantize.tensors import Shape, StoredTensor

# read(stored tensor, offset within it, nbytes) -> memory of that many bytes
Reader = Callable[[StoredTensor, int, int], memoryview]


def read_stored(files: ByteSource, tensor: StoredTensor, offset: int, nbytes: int) -> memoryview:
    """Part of a stored tensor, read into memory that is not filled with zeros before."""
    memory = np.empty(nbytes, np.uint8).data
    files.read_into(tensor.file, tensor.offset + offset, memory)
    return memory


class Layout(Protocol):
    """How the parts of one weight become its rows. Frozen and picklable."""

    @property
    def name(self) -> str:
        """The encoding's name, for people."""
        ...

    def decode_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> F32Array:
        """Rows lo..hi as float32 (hi - lo, cols), a fresh array."""
        ...


@runtime_checkable
class Repacking(Protocol):
    """A layout that some ggml type can hold without loss."""

    def repack_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> U8Array:
        """Rows lo..hi as blocks of the ggml type `weight.exact_type`: uint8 (hi - lo, nbytes)."""
        ...


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor as it is once decoded: its name and shape, and the stored tensors it is made of.

    `dtype` is the precision of the decoded values as a safetensors dtype. `exact_type` is the ggml
    type whose blocks can hold the stored values exactly, if there is one: such rows can be repacked
    instead of quantized again; with `always_kept`, they always are. `fixed_nbytes` is the memory
    that decoding takes on top of the rows themselves, however few they are.
    """

    name: str
    shape: Shape
    dtype: str
    layout: Layout
    parts: tuple[StoredTensor, ...]
    exact_type: str | None = None
    always_kept: bool = False
    fixed_nbytes: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes that the weight takes in the source."""
        return sum(part.nbytes for part in self.parts)

    @property
    def encoding(self) -> str:
        """How it is stored, for people."""
        return self.layout.name

    def decode_rows(self, lo: int, hi: int, read: Reader) -> F32Array:
        return self.layout.decode_rows(self, lo, hi, read)

    def repack_rows(self, lo: int, hi: int, read: Reader) -> U8Array:
        """Rows of a weight that has an `exact_type`, as blocks of that ggml type."""
        if not isinstance(self.layout, Repacking):
            raise TypeError(f"{self.encoding} cannot repack")
        return self.layout.repack_rows(self, lo, hi, read)


class StoredWeights:
    """`weights` by name, made of stored tensors of `files`: the rows that the engine asks for."""

    def __init__(self, files: ByteSource, name: str, weights: Mapping[str, Weight]) -> None:
        self.files = files
        self.name = name
        self.weights = weights

    def share(self) -> None:
        """As ByteSource.share."""
        self.files.share()

    def decode_rows(self, name: str, lo: int, hi: int) -> F32Array:
        return self.weights[name].decode_rows(lo, hi, self._read)

    def repack_rows(self, name: str, lo: int, hi: int) -> U8Array:
        """Rows of a weight that has an `exact_type`, as blocks of that ggml type."""
        return self.weights[name].repack_rows(lo, hi, self._read)

    def _read(self, tensor: StoredTensor, offset: int, nbytes: int) -> memoryview:
        return read_stored(self.files, tensor, offset, nbytes)


class Encoding(Protocol):
    """How a checkpoint stores its weights.

    `nearest` is the file type that loses nothing measurable of them; None leaves the choice to
    the default, as for weights that were never quantized. `accepts` says in words what is read.
    """

    @property
    def name(self) -> str: ...

    @property
    def nearest(self) -> str | None: ...

    @property
    def accepts(self) -> str: ...

    def resolve(self, stored: Mapping[str, StoredTensor], read: Reader) -> dict[str, Weight]:
        """The weights by name; reads nothing but a few small tensors that describe others.

        Raises CheckpointError where parts are missing or do not fit.
        """
        ...
