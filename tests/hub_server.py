"""A small Hub on the loopback interface, for the unmodified huggingface_hub.

Speaks the four requests that a download needs: model info, tree, and HEAD and GET of a file, with
the headers (commit, etag, error code) that the real Hub sends.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import unquote, urlsplit

_INFO = re.compile(r"/api/models/([^/]+/[^/]+)/revision/(.+)")
_TREE = re.compile(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)/?")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass
class Repo:
    """Files by path. `gated` repositories want one of `tokens`; `private` ones hide without it."""

    files: Mapping[str, bytes]
    gated: bool = False
    private: bool = False
    tokens: tuple[str, ...] = ()
    status: int = 200  # what model info answers, to play a Hub in trouble
    cut_after: int | None = None  # bytes of each file after which the connection breaks
    branches: tuple[str, ...] = ("main",)
    commit: str = field(init=False)

    def __post_init__(self) -> None:
        content = b"".join(path.encode() + self.files[path] for path in sorted(self.files))
        self.commit = hashlib.sha1(content, usedforsecurity=False).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    repos: ClassVar[dict[str, Repo]]
    log: ClassVar[list[str]]

    def do_GET(self) -> None:
        self._route()

    def do_HEAD(self) -> None:
        self._route()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        """Requests are kept in `log`; stderr stays clean."""

    def _route(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.log.append(f"{self.command} {path}")
        for pattern, answer in ((_INFO, self._info), (_TREE, self._tree), (_FILE, self._file)):
            match = pattern.fullmatch(path)
            if match is not None:
                repo = self._allowed(match[1], match[2])
                if repo is not None:
                    answer(match[1], repo, *match.groups()[2:])
                return
        self._error(404, "", "no such page")

    def _allowed(self, name: str, revision: str) -> Repo | None:
        """The repository, or None after saying why not."""
        repo = self.repos.get(name)
        token = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        if repo is None or (repo.private and token not in repo.tokens):
            self._error(404 if token else 401, "RepoNotFound", "Repository not found")
        elif repo.gated and token not in repo.tokens:
            self._error(403 if token else 401, "GatedRepo", f"Access to {name} is restricted")
        elif repo.status != 200:
            self._error(repo.status, "", "in trouble")
        elif revision not in {repo.commit, *repo.branches}:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return repo
        return None

    def _info(self, name: str, repo: Repo) -> None:
        siblings = [{"rfilename": path} for path in repo.files]
        self._json({"id": name, "modelId": name, "sha": repo.commit, "siblings": siblings})

    def _tree(self, name: str, repo: Repo) -> None:
        self._json([
            {"type": "file", "path": path, "size": len(data), "oid": _etag(data)}
            for path, data in repo.files.items()
        ])  # fmt: skip

    def _file(self, name: str, repo: Repo, path: str) -> None:
        if path not in repo.files:
            self._error(404, "EntryNotFound", "Entry not found")
            return
        data = repo.files[path]
        first, status = 0, 200
        asked = _RANGE.fullmatch(self.headers["Range"] or "")
        if asked is not None:
            first, status = int(asked[1]), 206
        headers = {"X-Repo-Commit": repo.commit, "ETag": f'"{_etag(data)}"'}
        if status == 206:
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        self._answer(status, data[first:], headers, cut_after=repo.cut_after)

    def _json(self, content: object) -> None:
        self._answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self._answer(status, json.dumps({"error": message}).encode(), headers)

    def _answer(
        self, status: int, body: bytes, headers: Mapping[str, str], cut_after: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[:cut_after])
        if cut_after is not None and cut_after < len(body):
            self.close_connection = True


def _etag(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


class HubServer:
    """A Hub with these repositories while the `with` block runs."""

    def __init__(self, repos: Mapping[str, Repo]) -> None:
        self.log: list[str] = []
        handler = type("Handler", (_Handler,), {"repos": dict(repos), "log": self.log})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
