"""One output in several files: offsets count through all of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from quantize.storage.sink import PartialFile


class PartialFiles:
    """Partial files on the way to `finals`, each a path and a size. Threads may write.

    With `resume`, what an earlier run left is kept. Raises DiskError.
    """

    def __init__(self, finals: Sequence[tuple[Path, int]], *, resume: bool = False) -> None:
        self.finals = tuple(finals)
        self.files: list[PartialFile] = []
        self._starts = list(accumulate((size for _, size in finals), initial=0))[:-1]
        try:
            for final, size in finals:
                self.files.append(PartialFile(final, size, resume=resume))
        except BaseException:
            self.abandon(keep=resume)
            raise

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Put `data`, which is for one file, at `offset`. Raises DiskError."""
        number = max(bisect_right(self._starts, offset) - 1, 0)
        self.files[number].write(offset - self._starts[number], data)

    def commit(self) -> None:
        """Give the complete files their final names. Raises DiskError."""
        for file in self.files:
            file.commit()

    def abandon(self, *, keep: bool) -> None:
        """Stop writing. The partial files stay for a later run, or go."""
        for file in self.files:
            file.abandon(keep=keep)
