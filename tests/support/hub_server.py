"""A small Hub on the loopback interface, for the unmodified huggingface_hub.

It speaks what downloads, ranges and uploads need: model info, the tree, HEAD, GET and Range of
files, redirects to a second host that serves LFS objects by signed URLs, creating repositories,
preupload, the LFS batch, commits. It plays faults (hub_faults) and records every request.

Where it deviates from the real Hub:

- It does not speak Xet: no xet headers, no CAS server. Tests set HF_HUB_DISABLE_XET.
- LFS uploads are one PUT each; there is no multipart upload and no verify action.
- Signatures do not expire by time, but when a test clears `signatures`.
- The second host differs by its port only, and both speak plain HTTP unless a test gives a
  certificate.
- A commit's id is a digest of its files; there are no parents, authors or dates, and branches all
  point to the newest commit. The oid of a large LFS file's pointer is made up.
- Small files are sent as they are, never compressed, never by a redirect on the same host.
- Rate limits exist only as injected faults. Tokens have no scopes: one that a repository lists may
  read and write it, one of `writers` may create repositories.
"""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Mapping, Sequence
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.hub_faults import Fault, Faults
from tests.support.hub_handlers import Handler, HubHandler, Request, StorageHandler
from tests.support.hub_repos import Content, Repo
from tests.support.loopback import Loopback

__all__ = ["Content", "Fault", "HubServer", "Repo", "Request"]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed leave broken connections; that is what some tests do."""


class HubServer(Loopback):
    """A Hub with these repositories while the `with` block runs."""

    def __init__(
        self,
        repos: Mapping[str, Repo],
        faults: Sequence[Fault] = (),
        *,
        writers: Sequence[str] = (),
        seed: int = 0,
        certificate: Path | None = None,
    ) -> None:
        """With a `certificate` (and its key, in PEM) both hosts speak TLS."""
        self.repos = dict(repos)
        self.faults = Faults(faults, seed)
        self.writers = set(writers)
        self.log: list[str] = []  # of the Hub alone, as "METHOD /path"
        self.requests: list[Request] = []  # of both hosts
        self.objects: dict[str, Content] = {}
        self.signatures: dict[str, Repo] = {}  # signature -> on whose behalf
        self.storage_etags: dict[str, str] = {}  # digest -> what storage says in place of it
        self._numbers = itertools.count()
        self._scheme = "http" if certificate is None else "https"
        super().__init__(self._bind(HubHandler), self._bind(StorageHandler))
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            for server in self._servers:
                server.socket = context.wrap_socket(server.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://{self.host}"

    @property
    def sent(self) -> int:
        """Bytes of all bodies that were sent."""
        return sum(request.sent for request in self.requests)

    def tokens_seen(self, host: str) -> set[str]:
        """Tokens that reached a host, "hub" or "storage"."""
        return {request.token for request in self.requests if request.host == host} - {""}

    def signed(self, sha256: str, repo: Repo) -> str:
        """A URL of an object that storage accepts."""
        signature = f"s{next(self._numbers)}"
        self.signatures[signature] = repo
        port = self._servers[1].server_port
        return f"{self._scheme}://127.0.0.1:{port}/lfs/{sha256}?signature={signature}"

    def _bind(self, kind: type[Handler]) -> _Server:
        return _Server(("127.0.0.1", 0), type("Bound", (kind,), {"hub": self}))
