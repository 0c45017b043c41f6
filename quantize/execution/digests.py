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
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from quantize.planning.plan import Plan
from quantize.storage.sink import disk_error

_PIECE = 1 << 18


@dataclass(slots=True)
class Digests:
    """SHA-256 in hex: of the file, and of each tensor by name."""

    file: str = ""
    tensors: dict[str, str] = field(default_factory=dict)


class Hasher:
    """A thread that hashes the files at `paths`, which `plans` lay out."""

    def __init__(self, plans: Sequence[Plan], paths: Sequence[Path]) -> None:
        self._plans = plans
        self._paths = paths
        self._complete: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._digests = [Digests() for _ in plans]
        self._piece = memoryview(bytearray(_PIECE))
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
            raise disk_error(Path(self._failed.filename or self._paths[0]), self._failed)
        return self._digests

    def stop(self) -> None:
        """End without a result."""
        self._stopped = True
        self._complete.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            with contextlib.ExitStack() as stack:
                files = [stack.enter_context(path.open("rb", buffering=0)) for path in self._paths]
                self._hash(files)
        except OSError as error:
            self._failed = error

    def _hash(self, files: Sequence[FileIO]) -> None:
        whole = [hashlib.sha256() for _ in files]
        while (index := self._complete.get()) is not None:
            for plan, file, sha, digests in zip(
                self._plans, files, whole, self._digests, strict=True
            ):
                tensor = plan.tensors[index]
                self._read(file, tensor.offset, sha)
                own = hashlib.sha256()
                self._read(file, tensor.offset + tensor.nbytes, sha, own)
                digests.tensors[tensor.name] = own.hexdigest()
        for plan, file, sha, digests in zip(self._plans, files, whole, self._digests, strict=True):
            self._read(file, plan.size, sha)
            digests.file = sha.hexdigest()

    def _read(self, file: FileIO, end: int, *shas: hashlib._Hash) -> None:
        """Feed what lies between here and `end`."""
        left = end - file.tell()
        while left and not self._stopped:
            piece = self._piece[: min(left, _PIECE)]
            done = file.readinto(piece)
            if not done:
                raise OSError(errno.EIO, "the file became shorter", file.name)
            for sha in shas:
                sha.update(piece[:done])
            left -= done
