"""A repository of the Hub as a source of bytes: three ways to the weights, one to small files."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from quantize.errors import CheckpointError
from quantize.storage.hub.blocks import Blocks
from quantize.storage.hub.downloads import Downloads, Watcher, cached, fetch
from quantize.storage.hub.errors import changed
from quantize.storage.hub.http import RangeReader
from quantize.storage.hub.repository import Repository
from quantize.storage.hub.sharing import Door, Sharing
from quantize.storage.local import read_into, too_large, too_short

# Most headers of safetensors files end before; one request has their length and themselves.
_HEAD = 100_000


class HubFiles:
    """The files of `repository`. Small ones are read whole, through the Hub's cache.

    Of others, what is in the cache is read there. What is not is read by ranges: exactly those
    asked for, or whole blocks ahead of the reader after `stream`. After `download`, files arrive
    complete, and who reads one waits for it. A copy in another process asks this one for all that.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self._sizes = {name: file.size for name, file in repository.files.items()}
        self._ranges = RangeReader(repository)
        self._heads: dict[str, bytes] = {}
        self._local: dict[str, Path] = {}
        self._hashed: dict[str, str] = {}  # SHA-256 of what was read from end to end
        self._blocks: Blocks | None = None
        self._downloads: Downloads | None = None
        self._sharing: Sharing | None = None
        self._door: Door | None = None  # to the process that this one is a copy of
        self._lock = threading.Lock()

    def __getstate__(self) -> tuple[Repository, Door]:
        with self._lock:
            self._sharing = self._sharing or Sharing(self)
        return self.repository, self._sharing.door

    def __setstate__(self, state: tuple[Repository, Door]) -> None:
        HubFiles.__init__(self, state[0])
        self._door = state[1]

    def files(self) -> Mapping[str, int]:
        return self._sizes

    def stream(self, names: Sequence[str], memory: int) -> None:
        """From here on these files are read ahead, in blocks that take `memory` bytes."""
        here = [name for name in names if self._cached(name) is not None]
        self._downloads = Downloads(self.repository, here, _Nobody())
        self._blocks = Blocks(self._ranges.read_into, self._sizes, memory, self._check)

    def download(self, names: Sequence[str], watcher: Watcher) -> None:
        """Fetch whole files, in this order."""
        self._downloads = Downloads(self.repository, names, watcher)

    def missing(self, names: Sequence[str]) -> list[str]:
        """Those that are not in the cache."""
        return [name for name in names if self._cached(name) is None]

    def unchecked(self, names: Sequence[str]) -> list[str]:
        """Those whose digest is what the Hub lists, without having been held against the bytes.

        That takes reading all of a file, nearly in order. Raises what is wrong with a download.
        """
        here = set(self._hashed)
        if self._downloads is not None:
            here |= {name for name in names if name in self._downloads and self.place(name)}
        return [name for name in names if name not in here]

    def read(self, name: str, offset: int, nbytes: int) -> bytes:
        data = bytearray(nbytes)
        self.read_into(name, offset, memoryview(data))
        return bytes(data)

    def read_into(self, name: str, offset: int, view: memoryview) -> None:
        end = offset + len(view)
        if end > self._size(name):
            raise too_short(name, end, self._size(name))
        if self._door is None:
            path = self.place(name)
        else:
            path = self._local.get(name) or self._door.read_range(name, offset, view)
            if path is None:
                return
            self._local[name] = path
        if path is not None:
            read_into(path, name, offset, view)
        else:
            self.read_range(name, offset, view)

    def place(self, name: str) -> Path | None:
        """Where a file is on the disk, having waited for it if it is on its way."""
        if self._downloads is not None and name in self._downloads:
            return self._downloads.wait(name)
        return self._cached(name)

    def read_range(self, name: str, offset: int, view: memoryview) -> None:
        """Fill `view` with bytes of a file that is not on the disk."""
        if self._blocks is not None:
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
        self._check(name, hashlib.sha256(data).hexdigest())
        return data

    def local_path(self, name: str) -> None:
        """Nowhere: what is in the Hub's cache was checked when it came."""
        return

    def digests(self) -> Mapping[str, str]:
        """Those of files that were read whole, and those of weights that the Hub lists."""
        listed = self.repository.files.items()
        return {name: file.sha256 for name, file in listed if file.sha256} | self._hashed

    def close(self) -> None:
        for opened in (self._blocks, self._downloads, self._sharing):
            if opened is not None:
                opened.close()

    def _size(self, name: str) -> int:
        if name not in self._sizes:
            raise CheckpointError("no-such-file", "no such file in the checkpoint", where=name)
        return self._sizes[name]

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
        self._hashed[name] = sha256


class _Nobody:
    """Watches files that need not come, being here: their digests are checked all the same."""

    def coming(self, name: str, nbytes: int) -> None:
        pass

    def arrived(self, name: str) -> None:
        pass
