"""Small files that a person names."""

from __future__ import annotations

from pathlib import Path

from quantize.errors import unreadable


def content(file: Path) -> bytes:
    """All of it. Raises DiskError."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise unreadable(str(file), error) from error
