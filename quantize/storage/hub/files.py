"""A repository of the Hub as a source of bytes: small files by its cache, weights by a route."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from quantize.errors import CheckpointError
from quantize.storage.hub.blocks import BlockCache
from quantize.storage.hub.downloads import Watcher, fetch
from quantize.storage.hub.errors import changed
from quantize.storage.hub.http import RangeReader
from quantize.storage.hub.repository import Repository
from quantize.storage.hub.routes import Cache, Ranges, ReadAhead, Route, Shared, WholeFiles
from quantize.storage.hub.sharing import SharedFilesClient, SharedFilesServer
from quantize.storage.local import too_large, too_short
from quantize.storage.source import ReadsRanges


class HubFiles(ReadsRanges):
    """The files of `repository`. Small ones are read whole, through the Hub's cache.

    Others come by `route`: ranges at first; blocks read ahead after `stream`; whole files after
    `download`. In a copy for another process, which `share` makes possible, the route asks this
    process.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self._sizes = {name: file.size for name, file in repository.files.items()}
        self._reader = RangeReader(repository)
        self._cache = Cache(repository)
        self._hashed: dict[str, str] = {}  # SHA-256 of what was read from end to end
        self.route: Route = Ranges(self._cache, self._reader, self._sizes)
        self._server: SharedFilesServer | None = None

    def share(self) -> None:
        """Serve copies of this in other processes, until `close`."""
        self._server = self._server or SharedFilesServer(self)

    def __getstate__(self) -> tuple[Repository, SharedFilesClient]:
        if self._server is None:
            raise RuntimeError("share() comes before a copy goes to another process")
        return self.repository, self._server.client

    def __setstate__(self, state: tuple[Repository, SharedFilesClient]) -> None:
        HubFiles.__init__(self, state[0])
        self.route = Shared(state[1])

    def files(self) -> Mapping[str, int]:
        return self._sizes

    def stream(self, names: Sequence[str], memory: int) -> None:
        """From here on these files are read ahead, in blocks that take `memory` bytes."""
        here = [name for name in names if self._cache.place(name) is not None]
        blocks = BlockCache(self._reader.read_into, self._sizes, memory, self._check)
        on_disk = WholeFiles(self.route, self.repository, here, _Nobody())
        self.route = ReadAhead(on_disk, blocks)

    def download(self, names: Sequence[str], watcher: Watcher) -> None:
        """Fetch whole files, in this order."""
        self.route = WholeFiles(self.route, self.repository, names, watcher)

    def missing(self, names: Sequence[str]) -> list[str]:
        """Those that are not in the cache."""
        return [name for name in names if self._cache.place(name) is None]

    def unchecked(self, names: Sequence[str]) -> list[str]:
        """Those whose digest is what the Hub lists, without having been held against the bytes.

        That takes reading all of a file, nearly in order. Raises what is wrong with a download.
        """
        return [
            name for name in names if name not in self._hashed and not self.route.has_checked(name)
        ]

    def read_into(self, name: str, offset: int, view: memoryview) -> None:
        end = offset + len(view)
        if end > self._size(name):
            raise too_short(name, end, self._size(name))
        self.route.read_into(name, offset, view)

    def read_all(self, name: str, limit: int) -> bytes:
        size = self._size(name)
        if size > limit:
            raise too_large(name, size, limit)
        path = self._cache.place(name) or fetch(self.repository, name)
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
        self.route.close()
        if self._server is not None:
            self._server.close()

    def _size(self, name: str) -> int:
        if name not in self._sizes:
            raise CheckpointError("no-such-file", "no such file in the checkpoint", where=name)
        return self._sizes[name]

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
