"""Small files that options name."""

from __future__ import annotations

from pathlib import Path

from quantize.errors import DiskError


def content(file: Path) -> bytes:
    """All of it. Raises DiskError."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise DiskError(
            "unreadable",
            "cannot be read",
            where=str(file),
            reason=error.strerror or str(error),
        ) from error
