"""What is finished of a `.partial` file, in a file next to it that survives a power cut.

One JSON document a line. The first says what the bytes depend on; each later one lists finished
rows as [tensor, lo, hi], with the sums of their quality behind these if they were measured. Rows
are listed only after the data file has been synced, so whatever the journal says is true. A last
line that was cut off is as if it had never been written. Ranges mean the same however a later run
cuts its tasks.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

from quantize.errors import DiskError
from quantize.execution.error_sums import TensorQuality
from quantize.execution.ranges import Done
from quantize.planning.plan import Task
from quantize.storage.durable import sync, sync_file, sync_folder
from quantize.storage.sink import disk_error, open_own, partial_path

# What the bytes depend on -> what is reported when it differs.
_REASONS = {
    "version": "another version of quantize began the file",
    "plan": "the plan is another one",
    "source": "the checkpoint has changed",
}


# Runs that end at the very moment another one begins, one after the other.
_TRIES = 100
_LOCKED = {errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}


def journal_path(final: Path) -> Path:
    return final.with_name(final.name + ".journal")


class Journal:
    """The journal of one output, open and locked: two runs never write one file.

    It is next to `final`, the first of the output's files, of which there may be `others`.
    `measured` are the ranges that were read with their qualities, those listed last at the end.
    Raises DiskError where the file cannot be written, or another run has it.
    """

    def __init__(self, final: Path, others: Sequence[Path] = ()) -> None:
        self.final = final
        self.partials = [partial_path(path) for path in (final, *others)]
        self.path = journal_path(final)
        self.measured: dict[Task, TensorQuality] = {}
        try:
            self._fd = _open_locked(self.path)
        except OSError as error:
            raise disk_error(self.path, error) from error
        except _LockedError as error:
            raise DiskError(
                "output-in-use",
                "another run is writing this file",
                where=str(final),
                hint="wait for it, or give another folder with --output",
            ) from error

    def resume(
        self, facts: Mapping[str, str], rows: Sequence[int]
    ) -> tuple[Done | None, str | None]:
        """What an earlier run has done; or None, and why its work is of no use if there is any.

        `facts` are what the bytes depend on, by the names above; `rows` those of each tensor.
        What comes after the last line that makes sense is removed. Raises DiskError.
        """
        with _on_disk(self.path):
            return self._resume(facts, rows)

    def _resume(
        self, facts: Mapping[str, str], rows: Sequence[int]
    ) -> tuple[Done | None, str | None]:
        done = Done(rows)
        first, *lines = self.path.read_bytes().splitlines(keepends=True) or [b""]
        if not first.endswith(b"\n"):
            return None, None
        try:
            earlier = json.loads(first)
            differing = [key for key in _REASONS if earlier[key] != facts[key]]
        except (ValueError, LookupError, TypeError):
            return None, "its journal cannot be read"
        if differing:
            return None, _REASONS[differing[0]]
        end = len(first)
        with contextlib.suppress(ValueError, TypeError):
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                for index, lo, hi, *sums in json.loads(line):
                    task = Task(index, lo, hi)
                    done.add(task)
                    if sums:
                        self.measured.pop(task, None)
                        self.measured[task] = TensorQuality(*sums)
                end += len(line)
        os.ftruncate(self._fd, end)
        return done, None

    def begin(self, facts: Mapping[str, str]) -> None:
        """Start the journal of a data file that was just made; nothing of it is done."""
        with _on_disk(self.path):
            self._sync()
            self._append(dict(facts))
            sync_folder(self.path.parent)

    def clear(self) -> None:
        """Forget everything, to be done before the data file goes."""
        with _on_disk(self.path):
            os.ftruncate(self._fd, 0)
            sync(self._fd)

    def record(self, finished: Iterable[tuple[Task, TensorQuality | None]]) -> None:
        """Make the data file durable, then list what is `finished`. Raises DiskError."""
        rows = [
            [*astuple(task), *(() if quality is None else astuple(quality))]
            for task, quality in finished
        ]
        if rows:
            with _on_disk(self.path):
                self._sync()
                self._append(rows)

    def close(self, *, keep: bool) -> None:
        """Unlock. The journal stays for a later run, or goes; an empty one goes in any case."""
        if self._fd < 0:
            return
        keep = keep and os.fstat(self._fd).st_size > 0
        if not keep and os.name != "nt":
            # While it is locked still, so that nobody else has begun to use it. Windows cannot
            # remove an open file.
            self.path.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = -1
        if not keep and os.name == "nt":
            self.path.unlink(missing_ok=True)

    def _sync(self) -> None:
        for partial in self.partials:
            sync_file(partial)

    def _append(self, document: object) -> None:
        line = json.dumps(document, separators=(",", ":")).encode() + b"\n"
        os.lseek(self._fd, 0, os.SEEK_END)
        if os.write(self._fd, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(self._fd)


@contextlib.contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    """OSErrors become DiskErrors about `path`."""
    try:
        yield
    except OSError as error:
        raise disk_error(path, error) from error


class _LockedError(Exception):
    """Another run has the file. Apart from a folder that may not be written to: both are EACCES."""


def _open_locked(path: Path) -> int:
    """Open, and lock until closed. Raises _LockedError if it is locked, OSError."""
    for _ in range(_TRIES):
        fd = open_own(path)
        try:
            _lock(fd)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), path.stat()):
                    return fd
            # Its last user removed it between our opening and locking it.
            os.close(fd)
        except BaseException:
            os.close(fd)
            raise
    raise _LockedError


def _lock(fd: int) -> None:
    try:
        _lock_now(fd)
    except OSError as error:
        # Some network file systems have no locks; they are not a reason not to work.
        if error.errno in _LOCKED:
            raise _LockedError from error


def _lock_now(fd: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        # Bytes far behind the end: a lock keeps others from reading the range as well.
        os.lseek(fd, 1 << 40, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        return
    import fcntl

    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
