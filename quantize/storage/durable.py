"""What must survive a power cut: the bytes of a file, and its name in its folder."""

from __future__ import annotations

import os
from pathlib import Path


def sync_file(path: Path) -> None:
    """Everything that any process wrote to the file reaches the disk."""
    fd = os.open(path, os.O_RDWR)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(folder: Path) -> None:
    """New and changed names reach the disk. Windows has no such call for folders."""
    if os.name != "nt":
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
