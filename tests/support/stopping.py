"""Sources that fail: for errors, and for runs that are to be continued."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from quantize.checkpoints.checkpoint import Checkpoint
from quantize.errors import DiskError


class Wrapped:
    """A checkpoint whose rows may be asked for, and which counts how often; nothing else."""

    def __init__(self, source: Checkpoint) -> None:
        self.source = source
        self.name = source.name
        self.weights = source.weights
        self.reads = 0

    def decode_rows(self, name: str, lo: int, hi: int) -> NDArray[np.float32]:
        self.reads += 1
        return self.source.decode_rows(name, lo, hi)

    def repack_rows(self, name: str, lo: int, hi: int) -> NDArray[np.uint8]:
        raise AssertionError

    def read_json(self, name: str) -> object:
        return None

    def share(self) -> None:
        pass


class Failing(Wrapped):
    """It does something else where a certain weight is read."""

    def __init__(
        self, source: Checkpoint, action: Callable[[], None], name: str = "gate_up"
    ) -> None:
        super().__init__(source)
        self.action = action
        self.bad = name

    def decode_rows(self, name: str, lo: int, hi: int) -> NDArray[np.float32]:
        if name == self.bad:
            self.reads += 1
            self.action()
        return super().decode_rows(name, lo, hi)


class Stopping(Wrapped):
    """It stops the run when it has been read `allowed` times."""

    def __init__(self, source: Checkpoint, allowed: int | None = None) -> None:
        super().__init__(source)
        self.allowed = allowed
        self.elements = 0

    def decode_rows(self, name: str, lo: int, hi: int) -> NDArray[np.float32]:
        if self.reads == self.allowed:
            raise DiskError("unreadable", "cannot be read")
        rows = super().decode_rows(name, lo, hi)
        self.elements += rows.size
        return rows
