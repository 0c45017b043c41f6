"""A repository of the Hub as a source of bytes: three ways to the weights, one to small files."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quantize.errors import CheckpointError
from quantize.storage.hub import Repository
from quantize.storage.hub_blocks import Blocks
from quantize.storage.hub_downloads import Downloads, Watcher, cached, fetch
from quantize.storage.hub_errors import changed
from quantize.storage.hub_http import RangeReader
from quantize.storage.local import read_into, too_large, too_short

# Most headers of safetensors files end before; one request has their length and themselves.
_HEAD = 100_000


class HubFiles:
    """The files of `repository`. Small ones are read whole, through the Hub's cache.

    Of others, what is in the cache is read there. What is not is read by ranges: exactly those
    asked for, or whole blocks ahead of the reader after `stream`. After `download`, files arrive
    complete, and who reads one waits for it.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self._sizes = {name: file.size for name, file in repository.files.items()}
        self._ranges = RangeReader(repository)
        self._heads: dict[str, bytes] = {}
        self._local: dict[str, Path] = {}
        self._read_whole: dict[str, str] = {}
        self._blocks: Blocks | None = None
        self._downloads: Downloads | None = None
        self._waits = False  # for files that a download brings, maybe of another process
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """In another process: exact ranges, or waiting for files that the first one fetches."""
        kept: dict[str, Any] = {"_blocks": None, "_downloads": None, "_heads": {}, "_lock": None}
        return {**vars(self), **kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.Lock()

    def files(self) -> Mapping[str, int]:
        return self._sizes

    def stream(self, memory: int) -> None:
        """From here on weights are read ahead, in blocks that take `memory` bytes."""
        self._blocks = Blocks(self._ranges.read_into, self._sizes, memory, self._check)

    def download(self, names: Sequence[str], watcher: Watcher) -> None:
        """Fetch whole files, in this order."""
        self._downloads = Downloads(self.repository, names, watcher)
        self._waits = True

    def missing(self, names: Sequence[str]) -> list[str]:
        """Those that are not in the cache."""
        return [name for name in names if self._cached(name) is None]

    def read(self, name: str, offset: int, nbytes: int) -> bytes:
        data = bytearray(nbytes)
        self.read_into(name, offset, memoryview(data))
        return bytes(data)

    def read_into(self, name: str, offset: int, view: memoryview) -> None:
        end = offset + len(view)
        if end > self._size(name):
            raise too_short(name, end, self._size(name))
        path = self._arrived(name) if self._waits else self._cached(name)
        if path is not None:
            read_into(path, name, offset, view)
        elif self._blocks is not None:
            self._blocks.read_into(name, offset, view)
        elif offset < _HEAD:
            self._read_head(name, offset, view)
        else:
            self._ranges.read_into(name, offset, view)

    def read_all(self, name: str, limit: int) -> bytes:
        size = self._size(name)
        if size > limit:
            raise too_large(name, size, limit)
        path = self._cached(name) or fetch(self.repository, name)
        data = path.read_bytes()
        if len(data) != size:
            raise changed(self.repository.repo, name, f"{len(data)} bytes, not {size}")
        self._read_whole[name] = hashlib.sha256(data).hexdigest()
        self._check(name, self._read_whole[name])
        return data

    def digests(self) -> Mapping[str, str]:
        """Those of small files that were read, and those of weights that the Hub lists."""
        listed = self.repository.files.items()
        return {name: file.sha256 for name, file in listed if file.sha256} | self._read_whole

    def close(self) -> None:
        for opened in (self._blocks, self._downloads):
            if opened is not None:
                opened.close()

    def _size(self, name: str) -> int:
        if name not in self._sizes:
            raise CheckpointError("no-such-file", "no such file in the checkpoint", where=name)
        return self._sizes[name]

    def _arrived(self, name: str) -> Path:
        """A file that somebody downloads: we, or the process that started this one."""
        if name not in self._local:
            if self._downloads is not None and name in self._downloads:
                self._local[name] = self._downloads.wait(name)
            else:
                self._local[name] = fetch(self.repository, name)
        return self._local[name]

    def _cached(self, name: str) -> Path | None:
        path = self._local.get(name) or cached(self.repository, name)
        if path is not None:
            self._local[name] = path
        return path

    def _read_head(self, name: str, offset: int, view: memoryview) -> None:
        """From the start of the file, which is fetched once and kept."""
        with self._lock:
            head = self._heads.get(name)
        if head is None:
            data = bytearray(min(_HEAD, self._sizes[name]))
            self._ranges.read_into(name, 0, memoryview(data))
            head = bytes(data)
            with self._lock:
                self._heads[name] = head
        found = head[offset : offset + len(view)]
        view[: len(found)] = found
        if len(found) < len(view):
            self._ranges.read_into(name, offset + len(found), view[len(found) :])

    def _check(self, name: str, sha256: str) -> None:
        expected = self.repository.files[name].sha256
        if expected not in {None, sha256}:
            reason = "its SHA-256 is not the one that the Hub lists"
            raise changed(self.repository.repo, name, reason)
