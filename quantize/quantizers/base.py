"""What a ggml type can do. Rows are independent, so any range of rows is a task of its own."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from quantize.tensors import GGMLType

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]


class Quantizer(Protocol):
    """Arrays in, bytes out. Stateless: one instance serves every thread."""

    type: GGMLType

    def quantize(self, rows: F32Array, imatrix: F32Array | None = None) -> U8Array:
        """Float32 `(n, cols)` to uint8 `(n, cols / block_size * type_size)`.

        `imatrix` is `(cols,)`: how much each column matters. Raises FloatingPointError when a
        value is NaN or infinite where the type cannot hold it.
        """
        ...

    def dequantize(self, data: U8Array) -> F32Array:
        """uint8 `(n, nbytes)` back to float32 `(n, cols)`."""
        ...
