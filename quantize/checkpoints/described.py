"""Weights and small files, described by a config.json: what checkpoints and adapters share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.arrays import F32Array, U8Array
from quantize.checkpoints.base import Weight, read_stored
from quantize.formats.json_file import parse_json
from quantize.storage.source import ByteSource
from quantize.tensors import StoredTensor

SMALL_FILE = 200_000_000  # the largest real tokenizer.json is under 40 MB


class DescribedWeights:
    """`weights` by name, made of stored tensors of `files`; `config` is config.json's content.

    `name` is the model's own name.
    """

    def __init__(
        self,
        files: ByteSource,
        name: str,
        config: Mapping[str, Any],
        weights: Mapping[str, Weight],
    ) -> None:
        self.files = files
        self.name = name
        self.config = config
        self.weights = weights

    def read(self, name: str) -> bytes | None:
        """A small file, whole; None if there is no such file."""
        return self.files.read_all(name, SMALL_FILE) if name in self.files.files() else None

    def names(self) -> list[str]:
        """The relative names of all files."""
        return list(self.files.files())

    def read_json(self, name: str) -> Any:
        """A small JSON file; None if there is no such file. Raises CheckpointError."""
        data = self.read(name)
        return None if data is None else parse_json(data, name)

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
