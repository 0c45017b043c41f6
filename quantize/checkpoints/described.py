"""Weights and small files, described by a config.json: what checkpoints and adapters share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.checkpoints.base import StoredWeights, Weight
from quantize.formats.json_file import parse_json
from quantize.storage.source import ByteSource

SMALL_FILE = 200_000_000  # the largest real tokenizer.json is under 40 MB


class DescribedWeights(StoredWeights):
    """Weights with config.json's content, `config`. `name` is the model's own name."""

    def __init__(
        self,
        files: ByteSource,
        name: str,
        config: Mapping[str, Any],
        weights: Mapping[str, Weight],
    ) -> None:
        super().__init__(files, name, weights)
        self.config = config

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
