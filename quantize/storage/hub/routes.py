"""The ways to the bytes of weights: by ranges, by blocks read ahead, by whole files, or by asking.

A file that is in the Hub's cache is read there, whatever the route. A route is closed once, by the
HubFiles that has it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from quantize.storage.hub.blocks import BlockCache
from quantize.storage.hub.downloads import Downloads, Watcher, cached
from quantize.storage.hub.http import RangeReader
from quantize.storage.hub.repository import Repository
from quantize.storage.hub.sharing import SharedFilesClient
from quantize.storage.local import read_into

# Most headers of safetensors files end before; one request has their length and themselves.
_HEAD = 100_000


class Route(Protocol):
    """One way to the bytes of a repository's files."""

    def read_into(self, name: str, offset: int, view: memoryview) -> None:
        """Fill `view` with bytes of a file. Raises NetworkError, CheckpointError."""
        ...

    def place(self, name: str) -> Path | None:
        """Where a file is on the disk, having waited for it if it is on its way."""
        ...

    def has_checked(self, name: str) -> bool:
        """Whether the bytes of the file were held against the digest that the Hub lists.

        Waits for a file on its way, and raises what is wrong with it.
        """
        ...

    def close(self) -> None: ...


class Cache:
    """Files of one commit in the Hub's cache; looked for until they are found."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._found: dict[str, Path] = {}

    def place(self, name: str) -> Path | None:
        path = self._found.get(name) or cached(self._repository, name)
        if path is not None:
            self._found[name] = path
        return path


class Ranges:
    """Exactly the ranges that are asked for; the beginning of a file is fetched once and kept."""

    def __init__(self, cache: Cache, reader: RangeReader, sizes: Mapping[str, int]) -> None:
        self._cache, self._reader, self._sizes = cache, reader, sizes
        self._heads: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def place(self, name: str) -> Path | None:
        return self._cache.place(name)

    def has_checked(self, name: str) -> bool:
        return False

    def read_into(self, name: str, offset: int, view: memoryview) -> None:
        path = self.place(name)
        if path is not None:
            read_into(path, name, offset, view)
        elif offset < _HEAD:
            self._read_head(name, offset, view)
        else:
            self._reader.read_into(name, offset, view)

    def close(self) -> None:
        pass

    def _read_head(self, name: str, offset: int, view: memoryview) -> None:
        with self._lock:
            head = self._heads.get(name)
        if head is None:
            data = bytearray(min(_HEAD, self._sizes[name]))
            self._reader.read_into(name, 0, memoryview(data))
            head = bytes(data)
            with self._lock:
                self._heads[name] = head
        found = head[offset : offset + len(view)]
        view[: len(found)] = found
        if len(found) < len(view):
            self._reader.read_into(name, offset + len(found), view[len(found) :])


class WholeFiles:
    """Files that arrive complete, in the background; who reads one waits for it."""

    def __init__(
        self, route: Route, repository: Repository, names: Sequence[str], watcher: Watcher
    ) -> None:
        self._others = route
        self._downloads = Downloads(repository, names, watcher)

    def place(self, name: str) -> Path | None:
        return self._downloads.wait(name) if name in self._downloads else self._others.place(name)

    def has_checked(self, name: str) -> bool:
        return name in self._downloads and self.place(name) is not None

    def read_into(self, name: str, offset: int, view: memoryview) -> None:
        path = self.place(name)
        if path is not None:
            read_into(path, name, offset, view)
        else:
            self._others.read_into(name, offset, view)

    def close(self) -> None:
        self._downloads.close()


class ReadAhead:
    """Blocks ahead of the readers, hashed as they pass; for files that are not on the disk."""

    def __init__(self, route: Route, blocks: BlockCache) -> None:
        self._on_disk = route
        self._blocks = blocks

    def place(self, name: str) -> Path | None:
        return self._on_disk.place(name)

    def has_checked(self, name: str) -> bool:
        return self._on_disk.has_checked(name)

    def read_into(self, name: str, offset: int, view: memoryview) -> None:
        path = self.place(name)
        if path is not None:
            read_into(path, name, offset, view)
        else:
            self._blocks.read_into(name, offset, view)

    def close(self) -> None:
        self._blocks.close()
        self._on_disk.close()


class Shared:
    """Asks the process that this one is a copy of."""

    def __init__(self, client: SharedFilesClient) -> None:
        self._client = client
        self._places: dict[str, Path] = {}

    def place(self, name: str) -> Path | None:
        return self._places.get(name)

    def has_checked(self, name: str) -> bool:
        return False

    def read_into(self, name: str, offset: int, view: memoryview) -> None:
        path = self._places.get(name) or self._client.read_range(name, offset, view)
        if path is not None:
            self._places[name] = path
            read_into(path, name, offset, view)

    def close(self) -> None:
        pass
