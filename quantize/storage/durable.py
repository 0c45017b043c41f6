"""What must survive a power cut: the bytes of a file, and its name in its folder."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def sync(fd: int) -> None:
    """What was written reaches the disk itself."""
    if sys.platform == "darwin":
        import fcntl

        # There fsync leaves bytes in the memory of the drive. Network file systems lack the call.
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            return
    os.fsync(fd)


def sync_file(path: Path) -> None:
    """Everything that any process wrote to the file reaches the disk."""
    fd = os.open(path, os.O_RDWR)
    try:
        sync(fd)
    finally:
        os.close(fd)


def sync_folder(folder: Path) -> None:
    """New and changed names reach the disk. Windows has no such call for folders."""
    if os.name != "nt":
        fd = os.open(folder, os.O_RDONLY)
        try:
            sync(fd)
        finally:
            os.close(fd)
