"""What the test Hub holds: repositories, their files by commit, and who may read them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from socket import socket

# What the real Hub keeps in LFS by its default .gitattributes, as far as models need it.
_LFS = (".safetensors", ".gguf", ".bin", ".model", ".onnx", ".pth", ".png")
_LARGE = 10 * 1024 * 1024


class Content:
    """The bytes of one file, in memory or on the disk (a sparse file of gigabytes costs nothing).

    `sha256` may be given where the content is too large to hash in a test.
    """

    def __init__(self, data: bytes | Path, sha256: str | None = None) -> None:
        self._data = data
        self._sha256 = sha256
        self.size = data.stat().st_size if isinstance(data, Path) else len(data)

    def read(self, offset: int, nbytes: int) -> bytes:
        if isinstance(self._data, bytes):
            return self._data[offset : offset + nbytes]
        with self._data.open("rb") as file:
            file.seek(offset)
            return file.read(nbytes)

    def send(self, connection: socket, part: range) -> None:
        """Write a part of the bytes; those of a file go from the disk's cache to the network."""
        if not part:
            return
        if isinstance(self._data, bytes):
            connection.sendall(memoryview(self._data)[part.start : part.stop])
            return
        with self._data.open("rb") as file:
            connection.sendfile(file, part.start, len(part))

    @cached_property
    def sha256(self) -> str:
        """The digest that LFS calls the oid."""
        return self._sha256 or hashlib.sha256(self.read(0, self.size)).hexdigest()

    @cached_property
    def oid(self) -> str:
        """The id of a git blob. An LFS file's is that of its pointer; nobody looks at that one."""
        sha = hashlib.sha1(f"blob {self.size}\0".encode(), usedforsecurity=False)
        sha.update(self.sha256.encode() if self.size > _LARGE else self.read(0, self.size))
        return sha.hexdigest()


@dataclass
class Repo:
    """Files by path. `gated` repositories want one of `tokens`; `private` ones hide without it.

    Writing always wants one of `tokens`.
    """

    files: Mapping[str, bytes | Path | Content]
    gated: bool = False
    private: bool = False
    tokens: tuple[str, ...] = ()
    status: int = 200  # what model info answers, to play a Hub in trouble
    cut_after: int | None = None  # bytes of each file after which the connection breaks
    branches: tuple[str, ...] = ("main",)
    history: dict[str, dict[str, Content]] = field(init=False)
    commit: str = field(init=False)

    def __post_init__(self) -> None:
        self.history = {}
        self.write({
            path: data if isinstance(data, Content) else Content(data)
            for path, data in self.files.items()
        })  # fmt: skip

    def write(self, contents: dict[str, Content]) -> None:
        """A new commit, which holds exactly `contents`."""
        listed = "".join(f"{path} {contents[path].sha256}\n" for path in sorted(contents))
        text = f"{len(self.history)}\n{listed}"
        self.commit = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self.history[self.commit] = contents

    def at(self, revision: str) -> dict[str, Content] | None:
        """The files of a branch or commit; None if there is no such revision."""
        return self.history.get(self.commit if revision in self.branches else revision)


def in_lfs(path: str, content: Content) -> bool:
    return path.endswith(_LFS) or content.size > _LARGE
