"""Files read through in blocks: fetched ahead over several connections, and hashed as they pass.

Whoever reads mostly moves forward, but in small steps and from several threads. A block is fetched
once for all of them, and the following ones before anybody asks.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial

from quantize.storage.background import Background

# Takes a name, an offset and what to fill with the bytes there.
Fetch = Callable[[str, int, memoryview], None]
# Called with the name and the SHA-256 in hex of a file that has been read from end to end.
Whole = Callable[[str, str], None]

# A single connection is rarely as fast as the network. But what arrives costs time of a core, which
# quantizing needs.
CONNECTIONS = max(4, min(8, os.cpu_count() or 4))
_LARGEST_BLOCK = 4 << 20
_SMALLEST_BLOCK = 1 << 18


class BlockCache:
    """A cache of about `memory` bytes over files of the given `sizes`.

    `when_whole` may refuse a file by raising, and then every later read does.
    """

    def __init__(
        self, fetch: Fetch, sizes: Mapping[str, int], memory: int, when_whole: Whole
    ) -> None:
        self._fetch = fetch
        self._sizes = sizes
        self._when_whole = when_whole
        self.block = max(_SMALLEST_BLOCK, min(_LARGEST_BLOCK, memory // (2 * CONNECTIONS)))
        self._room = max(memory // self.block, 2)
        self._ahead = min(CONNECTIONS, self._room // 2)
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], Future[bytearray]] = OrderedDict()
        self._hashing = threading.Lock()
        self._hashes: dict[str, _Hash] = {}
        self._refused: Exception | None = None
        self._background = Background(CONNECTIONS, "ranges")

    def read_into(self, name: str, offset: int, view: memoryview) -> None:
        """Fill `view`. Raises what fetching raises."""
        done = 0
        while done < len(view):
            index, start = divmod(offset + done, self.block)
            data = self._block(name, index).result()
            if self._refused is not None:
                raise self._refused
            piece = memoryview(data)[start : start + len(view) - done]
            view[done : done + len(piece)] = piece
            done += len(piece)

    def close(self) -> None:
        with self._lock:
            for future in self._kept.values():
                future.cancel()
        self._background.close()

    def _block(self, name: str, index: int) -> Future[bytearray]:
        """A block that is here or on its way; those after it are sent for as well."""
        last = -(-self._sizes[name] // self.block)
        with self._lock:
            wanted = self._submitted(name, index)
            for following in range(index + 1, min(index + 1 + self._ahead, last)):
                self._submitted(name, following)
            while len(self._kept) > self._room:
                self._kept.popitem(last=False)
        return wanted

    def _submitted(self, name: str, index: int) -> Future[bytearray]:
        found = self._kept.get((name, index))
        if found is None or (found.done() and found.exception() is not None):
            found = self._background.submit(partial(self._get, name, index))
            self._kept[name, index] = found
        self._kept.move_to_end((name, index))
        return found

    def _get(self, name: str, index: int) -> bytearray:
        offset = index * self.block
        data = bytearray(min(self.block, self._sizes[name] - offset))
        self._fetch(name, offset, memoryview(data))
        with self._hashing:
            passing = self._hashes.setdefault(name, _Hash(self._room))
            passing.add(index, data)
            if passing.following * self.block >= self._sizes[name] and not passing.reported:
                passing.reported = True
                try:
                    self._when_whole(name, passing.sha.hexdigest())
                except Exception as error:
                    self._refused = error
                    raise
        return data


class _Hash:
    """SHA-256 of a file whose blocks come nearly in order; given up when one stays away."""

    def __init__(self, patience: int) -> None:
        self.sha = hashlib.sha256()
        self.following = 0  # the block whose turn it is
        self.reported = False
        self._patience = patience
        self._waiting: dict[int, bytearray] = {}

    def add(self, index: int, data: bytearray) -> None:
        if index >= self.following and self._patience:
            self._waiting[index] = data
        while (block := self._waiting.pop(self.following, None)) is not None:
            self.sha.update(block)
            self.following += 1
        if len(self._waiting) > self._patience:
            self._patience = 0
            self._waiting.clear()
