"""Small files that a person names."""

from __future__ import annotations

import stat
from pathlib import Path

from quantize.errors import DiskError, unreadable


def content(file: Path) -> bytes:
    """All of it. Raises DiskError, also for pipes and devices: they may never end."""
    try:
        mode = file.stat().st_mode
        # Folders fail by themselves, in the system's own words.
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise DiskError(
                "not-a-plain-file",
                "is a pipe or a device, which may never end",
                where=str(file),
                hint="save its content as a file, and give that",
            )
        return file.read_bytes()
    except OSError as error:
        raise unreadable(str(file), error) from error
