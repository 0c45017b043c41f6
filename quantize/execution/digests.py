"""SHA-256 of each output and of each of its tensors, while the rest is still being made.

Tensors are read back in the order of the file as soon as they and all before them are complete,
mostly from the page cache: hashing costs no pass of its own at the end.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import queue
import threading
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from quantize.planning.plan import Plan
from quantize.storage.sink import disk_error

_PIECE = 1 << 18


@dataclass(slots=True)
class Digests:
    """SHA-256 in hex: of the files of an output, and of each tensor by name."""

    files: list[str] = field(default_factory=list)
    tensors: dict[str, str] = field(default_factory=dict)


class Hasher:
    """A thread that hashes the files at `paths`, those of each plan of `plans`."""

    def __init__(self, plans: Sequence[Plan], paths: Sequence[Sequence[Path]]) -> None:
        self._plans = plans
        self._paths = paths
        self._complete: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._digests = [Digests() for _ in plans]
        self._failed: OSError | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="digests", daemon=True)
        self._thread.start()

    def put(self, index: int) -> None:
        """The tensor at `index`, which is the next one, is complete in all files."""
        self._complete.put(index)

    def finish(self) -> list[Digests]:
        """The digests, when all tensors have been put. Raises DiskError."""
        self._complete.put(None)
        self._thread.join()
        if self._failed is not None:
            raise disk_error(Path(self._failed.filename or self._paths[0][0]), self._failed)
        return self._digests

    def stop(self) -> None:
        """End without a result."""
        self._stopped = True
        self._complete.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            with contextlib.ExitStack() as stack:
                self._hash(
                    [
                        _Reading(
                            plan,
                            [stack.enter_context(path.open("rb", buffering=0)) for path in own],
                        )
                        for plan, own in zip(self._plans, self._paths, strict=True)
                    ]
                )
        except OSError as error:
            self._failed = error

    def _hash(self, readings: Sequence[_Reading]) -> None:
        while (index := self._complete.get()) is not None:
            for plan, reading, digests in zip(self._plans, readings, self._digests, strict=True):
                tensor = plan.tensors[index]
                self._read(reading, tensor.offset)
                own = hashlib.sha256()
                self._read(reading, tensor.offset + tensor.nbytes, own)
                digests.tensors[tensor.name] = own.hexdigest()
        for plan, reading, digests in zip(self._plans, readings, self._digests, strict=True):
            self._read(reading, plan.size)
            digests.files = [sha.hexdigest() for sha in reading.shas]

    def _read(self, reading: _Reading, end: int, *shas: hashlib._Hash) -> None:
        while not self._stopped and reading.read(end, *shas):
            pass


class _Reading:
    """The files of a plan, read once from the first byte to the last; `shas` are theirs."""

    def __init__(self, plan: Plan, files: Sequence[FileIO]) -> None:
        self._files = files
        self._ends = [file.start + file.size for file in plan.files]
        self._position = 0
        self._piece = memoryview(bytearray(_PIECE))
        self.shas = [hashlib.sha256() for _ in files]

    def read(self, end: int, *shas: hashlib._Hash) -> int:
        """Feed a piece of what lies between here and `end`; 0 if there is nothing."""
        number = bisect_right(self._ends, self._position, hi=len(self._ends) - 1)
        left = min(end, self._ends[number]) - self._position
        if not left:
            return 0
        piece = self._piece[: min(left, _PIECE)]
        done = self._files[number].readinto(piece)
        if not done:
            raise OSError(errno.EIO, "the file became shorter", self._files[number].name)
        for sha in (self.shas[number], *shas):
            sha.update(piece[:done])
        self._position += done
        return done
