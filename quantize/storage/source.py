"""What every source of bytes can do: a folder on disk, the Hub's cache, the Hub itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class ByteSource(Protocol):
    """Files with sizes, read at any offset. Safe to share between threads, and picklable.

    Names are relative POSIX paths ("model.safetensors", "1_Pooling/config.json"). Only names of
    `files()` can be read, so no name leads out of the source.
    """

    def files(self) -> Mapping[str, int]:
        """Name -> size in bytes."""
        ...

    def read(self, name: str, offset: int, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes. Raises CheckpointError if the file ends before."""
        ...

    def read_into(self, name: str, offset: int, view: memoryview) -> None:
        """Fill `view`, which is writable bytes. Raises CheckpointError if the file ends before."""
        ...

    def read_all(self, name: str, limit: int) -> bytes:
        """A small file, whole. Raises CheckpointError if it is longer than `limit` bytes."""
        ...

    def share(self) -> None:
        """Make copies of this usable in other processes; comes before it is pickled."""
        ...

    def local_path(self, name: str) -> Path | None:
        """Where a file is on this machine, if it is one that nobody needs to fetch."""
        ...

    def digests(self) -> Mapping[str, str]:
        """SHA-256 in hex of files, as far as it is known: of all that were read whole."""
        ...

    def close(self) -> None: ...


class ReadsRanges:
    """`read` by `read_into`, for sources that fill memory."""

    def read_into(self, name: str, offset: int, view: memoryview) -> None:
        raise NotImplementedError

    def read(self, name: str, offset: int, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes. Raises CheckpointError if the file ends before."""
        data = bytearray(nbytes)
        self.read_into(name, offset, memoryview(data))
        return bytes(data)
