"""Whole files of a repository, fetched into the Hub's cache in the background and checked there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from quantize import __version__
from quantize.storage.background import Background
from quantize.storage.hub.errors import asking, changed
from quantize.storage.hub.guard import LIBRARY
from quantize.storage.hub.repository import Repository, Snapshot, pin_or_cached
from quantize.storage.hub.retry import with_retries
from quantize.storage.local import sha256_of

# Each has connections of its own (Xet) or is limited by the disk soon. The fewer, the earlier the
# first is complete and conversion begins.
_AT_ONCE = 2

# Called with the number of bytes of a file that are here so far.
Coming = Callable[[int], None]


class Watcher(Protocol):
    """Told of files on their way, from any thread."""

    def coming(self, name: str, nbytes: int) -> None:
        """`nbytes` of a file are here. That may become less, when it has to come again."""

    def arrived(self, name: str) -> None:
        """A file is complete, and the one that the commit names."""


class Downloads:
    """Fetches `names` in their order; each can be waited for alone."""

    def __init__(self, repository: Repository, names: Sequence[str], watcher: Watcher) -> None:
        self._repository = repository
        self._watcher = watcher
        self._background = Background(_AT_ONCE, "download")
        self._files: dict[str, Future[Path]] = {
            name: self._background.submit(partial(self._fetch, name)) for name in names
        }

    def wait(self, name: str) -> Path:
        """Where the complete file is. Raises what went wrong with it."""
        return self._files[name].result()

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def close(self) -> None:
        """Forget those that have not begun."""
        for future in self._files.values():
            future.cancel()
        self._background.close()

    def _fetch(self, name: str) -> Path:
        path = _fetch_genuine(self._repository, name, partial(self._watcher.coming, name))
        self._watcher.arrived(name)
        return path


def fetch_snapshot(repo: str, revision: str | None, token: str | None = None) -> Snapshot:
    """All files of a small repository that may be needed, or what the cache has of them."""
    found = pin_or_cached(repo, revision, token)
    if isinstance(found, Snapshot):
        return found
    folder = Path()
    for name in found.files:
        depth = name.count("/")
        folder = _fetch_genuine(found, name).parents[depth]
    return Snapshot(folder, found.commit)


def fetch(
    repository: Repository, name: str, coming: Coming | None = None, *, again: bool = False
) -> Path:
    """A file in the Hub's cache, downloaded unless it is there.

    Several processes may ask for the same file: huggingface_hub lets one of them fetch it. Raises
    AuthError, NetworkError, DiskError.
    """
    from huggingface_hub import hf_hub_download

    with asking(repository.repo, repository.commit, repository.token):
        path = with_retries(
            lambda: hf_hub_download(
                repository.repo,
                name,
                revision=repository.commit,
                token=repository.token,
                force_download=again,
                tqdm_class=None if coming is None else _meter(coming),
                library_name=LIBRARY,
                library_version=__version__,
            )
        )
    return Path(path)


def _fetch_genuine(repository: Repository, name: str, coming: Coming | None = None) -> Path:
    """The same, held against the digest that the Hub lists."""
    path = fetch(repository, name, coming)
    if not _is_genuine(repository, name, path):
        # A proxy may have answered with something else, or the disk have lost a bit.
        path = fetch(repository, name, coming, again=True)
        if not _is_genuine(repository, name, path):
            raise changed(repository.repo, name, "its SHA-256 is not the one that the Hub lists")
    return path


def _meter(coming: Coming) -> type[Any]:
    """The bar that huggingface_hub moves, whichever way the bytes take: it draws nothing."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined] # re-exported, in its own way
        tqdm,
    )

    class Meter(tqdm):
        def __init__(self, *args: Any, **facts: Any) -> None:
            facts["disable"] = True
            super().__init__(*args, **facts)  # type: ignore[no-untyped-call] # not by us
            coming(int(self.n))

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            coming(int(self.n))

        def update_transfer(self, n: float) -> None:
            """What came over the network, which Xet counts apart from what it makes."""

        def set_transfer_postfix_str(self, *_: Any, **__: Any) -> None:
            """A speed, which others compute."""

    return Meter


def cached(repository: Repository, name: str) -> Path | None:
    """The file, if it is complete in the Hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repository.repo, name, revision=repository.commit)
    return Path(path) if isinstance(path, str) else None


def _is_genuine(repository: Repository, name: str, path: Path) -> bool:
    expected = repository.files[name].sha256
    return expected is None or sha256_of(path) == expected
