"""How a folder's files looked when they were opened, to see whether they are still the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from quantize.errors import CheckpointError, unreadable

# Size, time of the last change in nanoseconds, and inode.
_Look = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Stamp:
    """Files of `folder`, by name."""

    folder: Path
    looks: tuple[tuple[str, _Look], ...]

    @property
    def identity(self) -> str:
        """Changes when a file does. A copy of the folder with its times has the same."""
        sha = hashlib.sha256()
        for name, (size, changed, _) in self.looks:
            sha.update(f"{name} {size} {changed}\n".encode())
        return sha.hexdigest()

    def check(self) -> None:
        """Raise CheckpointError if a file is not what it was."""
        for name, before in self.looks:
            path = self.folder / name
            if _look(path) != before:
                raise CheckpointError(
                    "source-changed",
                    "the file was changed while it was read",
                    where=str(path),
                    reason="what was made of it would be a mixture of old and new weights",
                    hint="convert again when nothing writes to the source any more",
                )


def stamp_of(folder: Path, names: Iterable[str]) -> Stamp:
    """The files as they are now. Raises DiskError."""
    return Stamp(folder, tuple((name, _look(folder / name)) for name in sorted(names)))


def _look(path: Path) -> _Look:
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(str(path), error) from error
    return status.st_size, status.st_mtime_ns, status.st_ino
