"""Connections that bytes come over in bulk, straight to where they belong.

huggingface_hub's HTTP library hands over pieces of 64 kB at most, 16 kB under TLS, copies each four
times and runs Python for all of them. A fast network would keep a core busy with that, which
quantizing needs. So these connections are of the standard library, which reads into an array. Where
a proxy is set, the ways around that are many, and huggingface_hub's session knows them: it serves.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import ssl
import string
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, cast
from urllib.parse import quote, urlsplit

from quantize.storage.hub.errors import http_library
from quantize.storage.hub.retry import TransientError

_TIMEOUT = 30.0  # seconds without a byte


class Answer(Protocol):
    """The answer to a GET. Names in `headers` may be written in any case."""

    status: int
    headers: Mapping[str, str]

    def readinto(self, view: memoryview, /) -> int:
        """Fill `view`. Returns how many bytes came: fewer only where the answer ends."""
        ...


class Connections:
    """Open connections that nobody uses at the moment, to be used again. Any thread may ask."""

    def __init__(self) -> None:
        self._idle: dict[str, list[http.client.HTTPConnection]] = defaultdict(list)

    def __del__(self) -> None:
        # Not earlier: a thread may be about to give one back.
        for idle in self._idle.values():
            for connection in idle:
                connection.close()

    @contextlib.contextmanager
    def get(self, url: str, headers: Mapping[str, str]) -> Iterator[Answer]:
        """The answer, whatever its status. Redirects are not followed.

        Raises TransientError for a connection that breaks, here or while the answer is read.
        """
        parts = urlsplit(url)
        proxies = urllib.request.getproxies().keys() & {parts.scheme, "all"}
        way = _by_session if proxies or parts.username else self._directly
        try:
            with way(url, headers) as answer:
                yield answer
        except (OSError, http.client.HTTPException, http_library().TransportError) as error:
            text = str(error).partition("\n")[0]
            raise TransientError(text or type(error).__name__) from error

    @contextlib.contextmanager
    def _directly(self, url: str, headers: Mapping[str, str]) -> Iterator[Answer]:
        parts = urlsplit(url)
        idle = self._idle[f"{parts.scheme}://{parts.netloc}"]
        path = quote(url.partition(parts.netloc)[2], safe=string.punctuation)
        connection, answer = _ask(idle, parts.scheme, parts.netloc, path, headers)
        try:
            yield answer
        finally:
            # An answer that was not read to its end would be taken for the start of the next one.
            if answer.isclosed() and not answer.will_close:
                idle.append(connection)
            else:
                connection.close()


def _ask(
    idle: list[http.client.HTTPConnection],
    scheme: str,
    netloc: str,
    path: str,
    headers: Mapping[str, str],
) -> tuple[http.client.HTTPConnection, Any]:
    """A connection and the beginning of its answer."""
    with contextlib.suppress(IndexError):  # another thread may take the last one
        connection = idle.pop()
        try:
            connection.request("GET", path, headers=dict(headers))
            return connection, connection.getresponse()
        except (OSError, http.client.HTTPException):
            connection.close()  # the server has closed it meanwhile, as it may
    connection = (
        http.client.HTTPSConnection(netloc, timeout=_TIMEOUT, context=_tls())
        if scheme == "https"
        else http.client.HTTPConnection(netloc, timeout=_TIMEOUT)
    )
    try:
        connection.request("GET", path, headers=dict(headers))
        return connection, connection.getresponse()
    except BaseException:
        connection.close()
        raise


@functools.cache
def _tls() -> ssl.SSLContext:
    """With the certificates that huggingface_hub trusts."""
    return cast(ssl.SSLContext, http_library().create_ssl_context())


@contextlib.contextmanager
def _by_session(url: str, headers: Mapping[str, str]) -> Iterator[Answer]:
    from huggingface_hub import get_session

    with get_session().stream(
        "GET", url, headers=dict(headers), timeout=_TIMEOUT, follow_redirects=False
    ) as answer:
        yield _SessionAnswer(answer)


class _SessionAnswer:
    def __init__(self, answer: Any) -> None:
        self.status: int = answer.status_code
        self.headers: Mapping[str, str] = answer.headers
        self._pieces: Iterator[bytes] = answer.iter_raw()
        self._left = memoryview(b"")

    def readinto(self, view: memoryview, /) -> int:
        done = 0
        while done < len(view):
            if not self._left:
                self._left = memoryview(next(self._pieces, b""))
                if not self._left:
                    break
            piece = self._left[: len(view) - done]
            view[done : done + len(piece)] = piece
            self._left = self._left[len(piece) :]
            done += len(piece)
        return done
