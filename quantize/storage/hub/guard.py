"""What a server names, checked for its form before it becomes a path or an address.

huggingface_hub makes folders of commits, file names of etags, and requests of `Link` headers. A
hostile mirror could lead it out of its cache, or the token to another host.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from quantize.errors import CheckpointError, NetworkError, UsageError

# Our own requests are known by it: other code of this process may talk to whom it likes.
LIBRARY = "quantize"

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_BLOB = _COMMIT
_REVISION = re.compile(r"(?![/.-])[^\s\\:?*\[~^\x00-\x1f\x7f]{1,250}(?<![/.])")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ETAG = re.compile(r'(?:W/)?"?(?!\.{1,2}"?$)[^\s/\\":*?<>|\x00-\x20\x7f]{1,200}"?')
_PATH = re.compile(r'[^\\:*?"<>|\x00-\x1f\x7f]{1,1000}')
_LARGEST = 1 << 50

# Headers of answers that huggingface_hub makes paths of.
_HEADERS = {"x-repo-commit": _COMMIT, "x-linked-etag": _ETAG, "etag": _ETAG}


def check_revision(repo: str, revision: str) -> None:
    """Raise UsageError for what git would not take as a name: adapters name revisions too."""
    if not _REVISION.fullmatch(revision) or ".." in revision or "//" in revision:
        raise UsageError(
            "no-such-revision",
            f"{revision[:80]!r} is not a name that a branch, tag or commit can have",
            where=repo,
            hint="give the name of a branch or tag, or a commit's id",
        )


def checked_commit(repo: str, commit: object) -> str:
    """A commit's id, 40 or 64 hex digits. Raises NetworkError."""
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise strange_answer(repo, f"a commit called {str(commit)[:80]!r}")
    return commit


def check_file(repo: str, path: str, size: object, blob: object, sha256: object) -> None:
    """Raise CheckpointError for a file whose name leaves its folder, NetworkError for odd facts."""
    if not _PATH.fullmatch(path) or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise CheckpointError(
            "unsafe-file-name",
            "the repository names a file that could lie outside its folder",
            where=f"{repo}: {path[:80]!r}",
            hint="do not use this repository, or tell its owner",
        )
    if type(size) is not int or not 0 <= size < _LARGEST:
        raise strange_answer(repo, f"{size!r} bytes of {path}")
    if sha256 is None and not (isinstance(blob, str) and _BLOB.fullmatch(blob)):
        raise strange_answer(repo, f"{path} with the id {str(blob)[:80]!r}")
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise strange_answer(repo, f"{path} with the SHA-256 {str(sha256)[:80]!r}")


def is_hub(url: str) -> bool:
    """Whether it is on the Hub's own host, which alone gets the token."""
    from huggingface_hub import constants

    here, hub = urlsplit(url), urlsplit(constants.ENDPOINT)
    if (here.scheme, here.netloc) == (hub.scheme, hub.netloc):
        return True
    # From http to https on one host, as servers redirect.
    return (hub.scheme, here.scheme, here.hostname) == ("http", "https", hub.hostname)


def guard() -> None:
    """Look at what huggingface_hub sends and receives for us, from here on."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    make: Callable[[], Any] = _http._GLOBAL_CLIENT_FACTORY  # noqa: SLF001 - no public name of it
    if not hasattr(make, "guards"):
        set_client_factory(_Guarded(make))


class _Guarded:
    """Makes clients as `make` does, and watches them. huggingface_hub makes one after a failure."""

    guards = True

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __call__(self) -> Any:
        client = self._make()
        hooks = client.event_hooks
        client.event_hooks = {
            "request": [*hooks["request"], _keep_token],
            "response": [*hooks["response"], _check_headers],
        }
        return client


def _is_ours(request: Any) -> bool:
    return str(request.headers.get("user-agent", "")).startswith(f"{LIBRARY}/")


def _keep_token(request: Any) -> None:
    url = str(request.url)
    if _is_ours(request) and "authorization" in request.headers and not is_hub(url):
        raise NetworkError(
            "token-elsewhere",
            "the server wants the token sent to another host",
            where=urlsplit(url).netloc,
            reason="it was not sent; no request with a token leaves the Hub's own host",
            hint="check HF_ENDPOINT, or ask whoever runs that server",
        )


def _check_headers(response: Any) -> None:
    url = str(response.request.url)
    if not _is_ours(response.request) or not is_hub(url):
        return
    for name, form in _HEADERS.items():
        value = response.headers.get(name)
        if value is not None and not form.fullmatch(value):
            raise strange_answer(urlsplit(url).netloc, f"{name}: {value[:80]!r}")


def strange_answer(where: str, reason: str) -> NetworkError:
    """The error for an answer that the Hub would not give."""
    return NetworkError(
        "not-the-hub",
        "the server's answer is not one of the Hugging Face Hub",
        where=where,
        reason=reason,
        hint="check HF_ENDPOINT and the proxy; a login page of the network may answer in its place",
    )
