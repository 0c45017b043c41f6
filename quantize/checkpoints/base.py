"""Weights as the rest of the tool sees them, and what an encoding must do to give them.

An encoding says how a checkpoint stores its weights. It looks at the stored tensors once
(`resolve`), and then decodes any range of rows of any weight, reading only the bytes that those
rows need. Rows are those of tensors.as_rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from quantize.tensors import Shape, StoredTensor

F32Array = NDArray[np.float32]

# read(stored tensor, offset within it, nbytes) -> bytes
Reader = Callable[[StoredTensor, int, int], bytes]


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor as it is once decoded: its name and shape, and the stored tensors it is made of.

    `dtype` is the precision of the decoded values as a safetensors dtype; `encoding` names how
    they are stored.
    """

    name: str
    shape: Shape
    dtype: str
    encoding: str
    parts: tuple[StoredTensor, ...]

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
