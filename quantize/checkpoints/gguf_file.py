"""A GGUF file as a source: its tensors are weights under their GGUF names."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantize.checkpoints.base import F32Array, U8Array, Weight
from quantize.formats.gguf_read import read_header
from quantize.quantizers import QUANTIZERS
from quantize.storage.source import ByteSource
from quantize.tensors import GGML_TYPES, as_rows


class GGUFFile:
    """One GGUF file. Opening reads its header only."""

    def __init__(self, files: ByteSource, file: str, name: str) -> None:
        self.files = files
        self.file = file
        self.name = name
        self.header = read_header(
            lambda offset, n: files.read(file, offset, n), files.files()[file], file
        )
        self.weights = {
            tensor.name: Weight(tensor.name, tensor.shape, tensor.dtype, "gguf", (tensor,))
            for tensor in self.header.tensors.values()
        }

    def names(self) -> list[str]:
        """The file itself."""
        return [self.file]

    def read_json(self, name: str) -> Any:
        """A GGUF file has its whole description inside."""
        return None

    def decode_rows(self, name: str, lo: int, hi: int) -> F32Array:
        # A copy where the quantizer only looks: transforms work in place.
        quantizer = QUANTIZERS[self.weights[name].dtype]
        return np.array(quantizer.dequantize(self.repack_rows(name, lo, hi)), np.float32)

    def repack_rows(self, name: str, lo: int, hi: int) -> U8Array:
        """The stored blocks themselves."""
        weight = self.weights[name]
        (tensor,) = weight.parts
        cols = as_rows(weight.shape)[1]
        row_nbytes = GGML_TYPES[tensor.dtype].row_nbytes(cols)
        data = self.files.read(self.file, tensor.offset + lo * row_nbytes, (hi - lo) * row_nbytes)
        return np.frombuffer(data, np.uint8).reshape(hi - lo, row_nbytes)
