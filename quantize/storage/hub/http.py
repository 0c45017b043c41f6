"""Ranges of a repository's files over HTTP, whatever the network does meanwhile."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from urllib.parse import urljoin

from quantize import __version__
from quantize.errors import NetworkError
from quantize.storage.hub.connections import Answer, Connections
from quantize.storage.hub.errors import (
    PASSING,
    asking,
    changed,
    refused,
    trouble,
)
from quantize.storage.hub.guard import LIBRARY, is_hub
from quantize.storage.hub.repository import Repository
from quantize.storage.hub.retry import Backoff, TransientError, wait_asked_for, with_retries

_STEP = 1 << 18  # bytes that a break may cost
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_EXPIRED = frozenset({401, 403, 404, 410})  # what storage says of a signature that is too old
_MOVED = frozenset({301, 302, 303, 307, 308})


class RangeReader:
    """Reads any bytes of any file of `repository`. Safe to share between threads.

    A file's place is asked of the Hub once: weights usually lie on another host, under a signed
    URL that needs no token and gets none. Every answer is held against the size and the digests
    that the commit names.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self._places: dict[str, str] = {}  # name -> URL
        self._etags: dict[str, str] = {}  # name -> what the storage calls this version of it
        self._connections = Connections()
        self._lock = threading.Lock()

    def read_into(self, name: str, offset: int, view: memoryview) -> None:
        """Fill `view`. What arrived before a connection broke is not asked for again.

        Raises NetworkError when nothing arrives any more, AuthError, and CheckpointError when the
        file is not the one of the commit.
        """
        done = 0
        backoff = Backoff()
        while done < len(view):
            try:
                for nbytes in self._filled(name, offset + done, view[done:]):
                    done += nbytes
                    backoff.progress()
            except TransientError as error:
                if not backoff.wait(error.retry_after):
                    raise _gave_up(self.repository.repo, name, error) from error

    def _filled(self, name: str, offset: int, view: memoryview) -> Iterator[int]:
        """Fill `view` by one answer, which may break off; yields the sizes of its steps."""
        place, nbytes = self._place(name), len(view)
        headers = {
            **self._headers(place),
            "Accept-Encoding": "identity",
            "Range": f"bytes={offset}-{offset + nbytes - 1}",
        }
        with self._connections.get(place, headers) as answer:
            self._check(name, place, answer, offset, nbytes)
            while view:
                step = answer.readinto(view[:_STEP])
                if not step:
                    raise TransientError(f"{len(view)} of {nbytes} bytes did not come")
                yield step
                view = view[step:]

    def _check(self, name: str, place: str, answer: Answer, offset: int, nbytes: int) -> None:
        """Raise unless the answer holds exactly the bytes asked for, of the file of the commit."""
        status, size = answer.status, self.repository.files[name].size
        if status in PASSING:
            raise TransientError(f"HTTP {status}", wait_asked_for(answer.headers))
        if status in _EXPIRED:
            if is_hub(place):
                token = self.repository.token
                raise (
                    refused(status, self.repository.repo, token)
                    if status in {401, 403}
                    else trouble(status, self.repository.repo)
                )
            with self._lock:
                self._places.pop(name, None)
            raise TransientError(f"HTTP {status}")
        if status in _MOVED:
            with self._lock:
                self._places[name] = urljoin(place, answer.headers.get("Location", ""))
            raise TransientError(f"HTTP {status}")
        if status == 416:
            raise self._changed(name, f"it has no byte {offset}, where {size} bytes are listed")
        if status == 200 and (offset, nbytes) != (0, size):
            raise NetworkError(
                "no-ranges",
                "the server sends whole files only",
                where=f"{self.repository.repo}: {name}",
                reason="a proxy or a mirror ignores the Range header",
                hint="convert without --stream, which downloads whole files",
            )
        if status not in {200, 206}:
            raise trouble(status, self.repository.repo)
        sent = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if status == 206 and (sent is None or (int(sent[1]), int(sent[3])) != (offset, size)):
            raise self._changed(name, f"{answer.headers.get('Content-Range')} of {size} bytes")
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > nbytes:
            raise self._changed(name, "more bytes came than were asked for")
        self._check_etag(name, answer.headers.get("ETag"))

    def _check_etag(self, name: str, etag: str | None) -> None:
        """All answers must be of one version of a file, however the storage calls that."""
        if etag is not None and self._etags.setdefault(name, etag) != etag:
            raise self._changed(name, "it changed between two requests")

    def _place(self, name: str) -> str:
        """Where a file lies now. Asked again when a signature has expired."""
        with self._lock:
            place = self._places.get(name)
        if place is None:
            place = self._ask(name)
            with self._lock:
                self._places[name] = place
        return place

    def _ask(self, name: str) -> str:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        repository = self.repository
        url = hf_hub_url(repository.repo, name, revision=repository.commit)
        with asking(repository.repo, repository.commit, repository.token):
            found = with_retries(
                lambda: get_hf_file_metadata(
                    url,
                    token=repository.token,
                    library_name=LIBRARY,
                    library_version=__version__,
                )
            )
        expected = repository.files[name]
        if found.size not in {None, expected.size}:
            raise self._changed(name, f"{found.size} bytes, where {expected.size} are listed")
        if found.etag not in {None, expected.etag}:
            raise self._changed(name, "its digest is not the one that is listed")
        return found.location

    def _headers(self, place: str) -> dict[str, str]:
        """With the token for the Hub itself, and without for every other host."""
        from huggingface_hub.utils import (  # type: ignore[attr-defined] # re-exported
            build_hf_headers,
        )

        token = self.repository.token if is_hub(place) else False
        headers: dict[str, str] = build_hf_headers(
            token=token, library_name=LIBRARY, library_version=__version__
        )
        return headers

    def _changed(self, name: str, reason: str) -> Exception:
        return changed(self.repository.repo, name, reason)


def _gave_up(repo: str, name: str, error: Exception) -> NetworkError:
    return NetworkError(
        "connection-lost",
        "the bytes stopped coming",
        where=f"{repo}: {name}",
        reason=str(error).partition("\n")[0] or type(error).__name__,
        hint="the same command continues",
    )
