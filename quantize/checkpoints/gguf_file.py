"""A GGUF file as a source, or several that are one model: tensors under their GGUF names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from quantize.arrays import F32Array, U8Array
from quantize.checkpoints.base import Reader, StoredWeights, Weight
from quantize.checkpoints.stored import read_rows, widen
from quantize.formats.gguf_read import read_header
from quantize.formats.gguf_split import PREFIX, check_parts
from quantize.formats.kv import KeyValues
from quantize.quantizers import QUANTIZERS
from quantize.storage.source import ByteSource
from quantize.tensors import (
    GGML_TYPES,
    as_rows,
)


@dataclass(frozen=True, slots=True)
class BlockLayout:
    """Blocks of a ggml type, as they are in the file; or plain numbers, which have no blocks."""

    name: str = "gguf"

    def decode_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> F32Array:
        if weight.dtype not in QUANTIZERS:
            (tensor,) = weight.parts
            return widen(read_rows(tensor, lo, hi, read), tensor.dtype)
        # A copy where the quantizer only looks: transforms work in place.
        blocks = self.repack_rows(weight, lo, hi, read)
        return np.array(QUANTIZERS[weight.dtype].dequantize(blocks), np.float32)

    def repack_rows(self, weight: Weight, lo: int, hi: int, read: Reader) -> U8Array:
        """The stored blocks themselves."""
        (tensor,) = weight.parts
        row_nbytes = GGML_TYPES[tensor.dtype].row_nbytes(as_rows(weight.shape)[1])
        data = read(tensor, lo * row_nbytes, (hi - lo) * row_nbytes)
        return np.frombuffer(data, np.uint8).reshape(hi - lo, row_nbytes)


class GGUFFile(StoredWeights):
    """A model in one GGUF file or in `parts`, all of them. Opening reads headers only.

    `headers` are by file, `file` is the first one, `kvs` are all key-values but those of a part.
    Raises CheckpointError for files that do not belong together.
    """

    kind: Literal["gguf"] = "gguf"
    nearest = None

    def __init__(self, files: ByteSource, parts: Sequence[str], name: str) -> None:
        self.file = parts[0]
        sizes = files.files()
        self.headers = {
            part: read_header(partial(files.read, part), sizes[part], part) for part in parts
        }
        check_parts(self.headers)
        first = self.headers[self.file]
        self.kvs = KeyValues(kv for kv in first.kvs if not kv.key.startswith(PREFIX))
        self.tensors = {
            tensor.name: tensor
            for header in self.headers.values()
            for tensor in header.tensors.values()
        }
        weights = {
            tensor.name: Weight(tensor.name, tensor.shape, tensor.dtype, BlockLayout(), (tensor,))
            for tensor in self.tensors.values()
        }
        super().__init__(files, name, weights)

    def names(self) -> list[str]:
        """The file itself, or all parts."""
        return list(self.headers)

    def read_json(self, name: str) -> Any:
        """A GGUF file has its whole description inside."""
        return None
