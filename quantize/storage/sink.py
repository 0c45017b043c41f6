"""The output: a `.partial` file, written at known offsets and renamed when it is complete."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import threading
from pathlib import Path

from quantize.errors import DiskError
from quantize.storage.durable import sync, sync_folder
from quantize.units import format_bytes

# Ends the name of a file that made room for a new one.
ASIDE = ".old"

# Some systems refuse to write 2 GiB or more at once.
_WRITE_AT_ONCE = 1 << 30

# errno -> code, message, hint. What is not here gets the system's own words.
_FULL = ("disk-full", "no room left", "free some space, or give another folder with --output")
_FORBIDDEN = ("not-writable", "may not be written", "give another folder with --output")
_NO_FOLDER = ("no-such-folder", "no such folder", "make the folder, or give another with --output")
_TOO_LARGE = ("file-too-large", "too large for this file system", "FAT32 ends at 4 GB: use another")
_KNOWN = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: _FORBIDDEN,
    errno.ENOENT: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EFBIG: _TOO_LARGE,
}

# File systems that cannot set room aside; the sparse file must do.
_NO_SUCH_CALL = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}


def partial_path(final: Path) -> Path:
    """The name that an incomplete file has."""
    return final.with_name(final.name + ".partial")


def open_own(path: Path) -> int:
    """Open a file of ours for reading and writing, made if it is not there.

    A downloaded folder may hold anything under our names: a link to another file of the person, a
    second name of one, a pipe. Raises DiskError for all but a plain file of one name, and OSError.
    """
    with contextlib.suppress(FileNotFoundError):
        _check_plain(path, path.lstat())
    flags = os.O_RDWR | os.O_CREAT
    for name in ("O_BINARY", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"):
        flags |= getattr(os, name, 0)
    try:
        fd = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _not_plain(path) from error
        raise
    try:
        # What was looked at may have been replaced before it was opened.
        _check_plain(path, os.fstat(fd))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _check_plain(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise _not_plain(path)


def _not_plain(path: Path) -> DiskError:
    return DiskError(
        "not-a-plain-file",
        "a link, or something else that is not a plain file",
        where=str(path),
        reason="writing to it could change another file",
        hint="remove it if it is not needed, or give another folder with --output",
    )


def check_folder(folder: Path, needed: int) -> None:
    """Raise DiskError unless `folder` can be written to and has `needed` bytes free."""
    try:
        # Asking for permission is not enough: only a file that was made proves it.
        with tempfile.TemporaryFile(dir=folder, prefix=".quantize-"):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise disk_error(folder, error) from error
    if free < needed:
        code, message, hint = _FULL
        raise DiskError(
            code,
            message,
            where=str(folder),
            reason=f"{format_bytes(needed)} are needed, {format_bytes(free)} are free",
            hint=hint,
        )


class PartialFile:
    """A file of `size` bytes on the way to `final`. Threads may write at the same time.

    Room for all of it is taken at once, so that a full disk shows before hours of work. With
    `resume`, what an earlier run left is kept if it has the same size. Raises DiskError.
    """

    def __init__(self, final: Path, size: int, *, resume: bool = False) -> None:
        self.final = final
        self.partial = partial_path(final)
        self.size = size
        self._lock = threading.Lock()
        kept = self.partial.stat() if resume and self.partial.is_file() else None
        self.resumed = kept is not None and kept.st_size == size
        check_folder(final.parent, 0 if self.resumed else size)
        try:
            self._fd = open_own(self.partial)
            if not self.resumed:
                os.ftruncate(self._fd, 0)
        except OSError as error:
            raise disk_error(self.partial, error) from error
        try:
            if not self.resumed:
                self._take_room()
        except OSError as error:
            self.abandon(keep=False)
            raise disk_error(self.partial, error) from error

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Put `data` at `offset`. Raises DiskError."""
        view = memoryview(data).cast("B")
        if offset < 0 or offset + len(view) > self.size:
            raise ValueError(f"{len(view)} bytes at {offset} do not fit a file of {self.size}")
        try:
            while view:
                done = self._write_at(offset, view[:_WRITE_AT_ONCE])
                offset += done
                view = view[done:]
        except OSError as error:
            raise disk_error(self.partial, error) from error

    def commit(self) -> None:
        """Give the complete file its final name, safe against a power cut. Raises DiskError."""
        try:
            sync(self._fd)
            self._close()
            self.partial.replace(self.final)
            sync_folder(self.final.parent)
        except OSError as error:
            raise disk_error(self.final, error) from error

    def abandon(self, *, keep: bool) -> None:
        """Stop writing. The partial file stays for a later run, or goes."""
        self._close()
        if not keep:
            self.partial.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _take_room(self) -> None:
        os.ftruncate(self._fd, self.size)
        if hasattr(os, "posix_fallocate") and self.size:
            try:
                os.posix_fallocate(self._fd, 0, self.size)
            except OSError as error:
                if error.errno not in _NO_SUCH_CALL:
                    raise

    def _write_at(self, offset: int, view: memoryview) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(self._fd, view, offset)
        with self._lock:
            os.lseek(self._fd, offset, os.SEEK_SET)
            return os.write(self._fd, view)


def disk_error(path: Path, error: OSError) -> DiskError:
    """What a person can do about an OSError of writing."""
    own_words = error.strerror or str(error)
    code, message, hint = _KNOWN.get(
        error.errno or 0, ("cannot-write", "cannot be written", "try another folder with --output")
    )
    return DiskError(code, message, where=str(path), reason=own_words, hint=hint)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there. Raises DiskError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(folder, error) from error


def write_text(final: Path, text: str) -> None:
    """A small text file as UTF-8 with its line ends as they are, complete or not at all."""
    write_bytes(final, text.encode("utf-8"))


def write_bytes(final: Path, data: bytes) -> None:
    """A small file, complete or not at all. Raises DiskError."""
    output = PartialFile(final, len(data))
    try:
        output.write(0, data)
        output.commit()
    except BaseException:
        output.abandon(keep=False)
        raise


def set_aside(path: Path, *, unless: str) -> Path | None:
    """Give a file another name, which is returned, unless its text is `unless`. Raises DiskError.

    None where there is nothing to set aside. What was set aside before stays: `NAME.2.old` comes
    after `NAME.old`, unless that says the same.
    """
    aside, number = path.with_name(path.name + ASIDE), 1
    try:
        if not path.is_file() or (data := path.read_bytes()) == unless.encode("utf-8"):
            return None
        while aside.exists() and aside.read_bytes() != data:
            number += 1
            aside = path.with_name(f"{path.name}.{number}{ASIDE}")
        return path.replace(aside)
    except OSError as error:
        raise disk_error(path, error) from error
