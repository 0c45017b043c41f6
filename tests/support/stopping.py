"""A source that fails after a while: for runs that are to be continued."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantize.checkpoints.checkpoint import Checkpoint
from quantize.errors import DiskError


class Stopping:
    """A checkpoint that stops the run when it has been read `allowed` times."""

    def __init__(self, source: Checkpoint, allowed: int | None = None) -> None:
        self.source = source
        self.name = source.name
        self.weights = source.weights
        self.allowed = allowed
        self.elements = 0
        self.reads = 0

    def decode_rows(self, name: str, lo: int, hi: int) -> NDArray[np.float32]:
        if self.reads == self.allowed:
            raise DiskError("unreadable", "cannot be read")
        self.reads += 1
        rows = self.source.decode_rows(name, lo, hi)
        self.elements += rows.size
        return rows

    def repack_rows(self, name: str, lo: int, hi: int) -> NDArray[np.uint8]:
        raise AssertionError

    def read_json(self, name: str) -> object:
        return None

    def share(self) -> None:
        pass
