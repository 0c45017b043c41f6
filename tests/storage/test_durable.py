"""What must survive a power cut is asked of the drive, as each system wants to be asked."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from pathlib import Path

import pytest

from quantize.storage.durable import sync_file

F_FULLFSYNC = 51  # macOS' number, from <sys/fcntl.h>


@pytest.mark.parametrize("is_known", [True, False])
def test_macos_is_asked_to_empty_the_memory_of_the_drive(
    is_known: bool,  # noqa: FBT001 - a case
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def full(_: int, call: int) -> int:
        asked.append(call)
        if not is_known:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        return 0

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", F_FULLFSYNC, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", full)
    monkeypatch.setattr(os, "fsync", lambda _: asked.append("fsync"))
    file = tmp_path / "file"
    file.touch()
    sync_file(file)
    # A file system without the call, such as one of a network, gets the usual one.
    assert asked == [F_FULLFSYNC] + ["fsync"] * (not is_known)
