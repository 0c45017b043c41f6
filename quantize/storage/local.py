"""A folder on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from quantize.errors import CheckpointError, UsageError, unreadable
from quantize.storage.source import ReadsRanges

# Some systems refuse to read 2 GiB or more at once.
_READ_AT_ONCE = 1 << 30
# Large: whoever hashes along with other threads waits for the interpreter lock after every piece.
_HASH_AT_ONCE = 1 << 22


class LocalFolder(ReadsRanges):
    """The files at the top of a folder and one level below it (1_Pooling/config.json).

    Links to files are followed where they stay inside, or lead to the blobs of the Hub's cache.
    Links to folders are not. The list is made once; each read opens its file again, which costs
    microseconds and leaves nothing to share between threads, to close or to pickle.

    Raises UsageError if there is no such folder, DiskError if it cannot be listed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._digests: dict[str, str] = {}
        if not path.is_dir():
            raise UsageError(
                "no-such-folder",
                "no such folder",
                where=str(path),
                hint="give the folder that holds config.json and the .safetensors files",
            )
        try:
            self._files = dict(sorted(_list(path, depth=1)))
            self._outside = {name for name in self._files if not _stays_inside(path, path / name)}
        except OSError as error:
            raise unreadable(str(path), error) from error

    def files(self) -> Mapping[str, int]:
        return self._files

    def read_into(self, name: str, offset: int, view: memoryview) -> None:
        end = offset + len(view)
        if end > self._size(name):
            raise too_short(name, end, self._size(name))
        read_into(self.path / name, name, offset, view)

    def read_all(self, name: str, limit: int) -> bytes:
        size = self._size(name)
        if size > limit:
            raise too_large(name, size, limit)
        data = self.read(name, 0, size)
        self._digests[name] = hashlib.sha256(data).hexdigest()
        return data

    def share(self) -> None:
        """Nothing to do: the folder is there for all processes."""

    def local_path(self, name: str) -> Path:
        return self.path / name

    def digests(self) -> Mapping[str, str]:
        return self._digests

    def close(self) -> None:
        """No file stays open."""

    def _size(self, name: str) -> int:
        if name not in self._files:
            raise CheckpointError("no-such-file", "no such file in the checkpoint", where=name)
        if name in self._outside:
            raise CheckpointError(
                "link-leaves-folder",
                "a link to a file outside the checkpoint",
                where=name,
                reason="a checkpoint from elsewhere could name any file of this machine so",
                hint="replace the link by the file itself",
            )
        return self._files[name]


def _stays_inside(folder: Path, file: Path) -> bool:
    """Whether a file, its links followed, is in the folder, or among the blobs of the Hub's cache.

    The cache keeps snapshots/COMMIT/NAME as links into blobs/, which is next to snapshots/.
    """
    if not file.is_symlink():
        return True
    root, target = folder.resolve(), file.resolve()
    blobs = root.parent.parent / "blobs"
    return target.is_relative_to(root) or (
        root.parent.name == "snapshots" and target.is_relative_to(blobs)
    )


def _list(folder: Path, *, depth: int, prefix: str = "") -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if entry.is_file():
                yield name, entry.stat().st_size
            elif depth and entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _list(folder / entry.name, depth=depth - 1, prefix=f"{name}/")


def read_into(path: Path, name: str, offset: int, view: memoryview) -> None:
    """Fill `view` from one file, called `name` in the source."""
    end = offset + len(view)
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            while view:
                done = file.readinto(view[:_READ_AT_ONCE])
                if not done:
                    raise too_short(name, end, end - len(view))
                view = view[done:]
    except OSError as error:
        raise unreadable(name, error) from error


def sha256_of(path: Path, goes_on: Callable[[], bool] = lambda: True) -> str:
    """The digest of a file, in hex; of a part of it once `goes_on` says no. Raises DiskError."""
    sha = hashlib.sha256()
    piece = memoryview(bytearray(_HASH_AT_ONCE))
    try:
        with path.open("rb", buffering=0) as file:
            while goes_on() and (done := file.readinto(piece)):
                sha.update(piece[:done])
    except OSError as error:
        raise unreadable(str(path), error) from error
    return sha.hexdigest()


def too_large(name: str, size: int, limit: int) -> CheckpointError:
    return CheckpointError(
        "file-too-large", f"{size} bytes where at most {limit} make sense", where=name
    )


def too_short(name: str, end: int, size: int) -> CheckpointError:
    return CheckpointError(
        "truncated-file",
        f"{end - size} of {end} bytes are missing",
        where=name,
        reason=f"the file ends at byte {size}",
        hint="download the file again",
    )
