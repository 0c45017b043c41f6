"""Weights as the rest of the tool sees them, and what an encoding must do to give them.

An encoding says how a checkpoint stores its weights. It looks at the stored tensors once
(`resolve`), and then decodes any range of rows of any weight, reading only the bytes that those
rows need. Rows are those of tensors.as_rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from quantize.tensors import Shape, StoredTensor

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]

# read(stored tensor, offset within it, nbytes) -> bytes
Reader = Callable[[StoredTensor, int, int], bytes]


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor as it is once decoded: its name and shape, and the stored tensors it is made of.

    `dtype` is the precision of the decoded values as a safetensors dtype; `encoding` names how
    they are stored. `grid` is the ggml type whose blocks can hold the stored values exactly, if
    there is one: such rows can be repacked instead of quantized again.
    """

    name: str
    shape: Shape
    dtype: str
    encoding: str
    parts: tuple[StoredTensor, ...]
    grid: str | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that the weight takes in the source."""
        return sum(part.nbytes for part in self.parts)


class Encoding(Protocol):
    """How a checkpoint stores its weights. Stateless after construction, and picklable."""

    name: str

    def resolve(self, stored: Mapping[str, StoredTensor]) -> dict[str, Weight]:
        """The weights by name. Raises CheckpointError where parts are missing or do not fit."""
        ...

    def decode_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> F32Array:
        """Rows lo..hi as float32 (hi - lo, cols)."""
        ...


@runtime_checkable
class Repacking(Protocol):
    """An encoding some of whose weights have a `grid`."""

    def repack_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> U8Array:
        """Rows lo..hi as blocks of the ggml type `weight.grid`: uint8 (hi - lo, nbytes)."""
        ...
