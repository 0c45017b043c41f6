"""How the test Hub answers: a base for both hosts, the Hub itself, and its storage."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.hub_faults import Fault
from tests.support.hub_repos import Content, Repo, in_lfs

if TYPE_CHECKING:
    from tests.support.hub_server import HubServer

_REPO = r"([^/]+/[^/]+)"
_INFO = re.compile(rf"/api/models/{_REPO}(?:/revision/(.+))?")
_TREE = re.compile(rf"/api/models/{_REPO}/tree/([^/]+)/?")
_FILE = re.compile(rf"/{_REPO}/resolve/([^/]+)/(.+)")
_CREATE = re.compile(r"/api/repos/create")
_PREUPLOAD = re.compile(rf"/api/models/{_REPO}/preupload/([^/]+)")
_BATCH = re.compile(rf"/{_REPO}\.git/info/lfs/objects/batch")
_COMMIT = re.compile(rf"/api/models/{_REPO}/commit/([^/]+)")
_YAML = re.compile(r"/api/validate-yaml")
_OBJECT = re.compile(r"/lfs/([0-9a-f]{64})")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_PAGE = 100  # entries of a tree's page

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Request:
    """What was asked and answered, for tests that count bytes or look for a token."""

    host: str
    method: str
    path: str
    token: str
    range: str
    status: int
    sent: int


class Handler(BaseHTTPRequestHandler):
    """Reads the request, plays its fault, and keeps a record."""

    protocol_version = "HTTP/1.1"
    hub: ClassVar[HubServer]
    host: ClassVar[str]

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        """Requests are kept in `hub.requests`; stderr stays clean."""

    @property
    def token(self) -> str:
        return (self.headers["Authorization"] or "").removeprefix("Bearer ")

    def _serve(self) -> None:
        self.route = unquote(urlsplit(self.path).path)
        self.body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.fault = self.hub.faults.take(f"{self.command} {self.host} {self.route}") or Fault("")
        time.sleep(self.fault.delay)
        if self.fault.drop:
            self._record(0, 0)
            self.close_connection = True
        elif self.fault.status is not None:
            self.send_error_page(self.fault.status, "", "in trouble")
        elif self.fault.body is not None:
            self.send_body(200, self.fault.body, {})
        else:
            self.answer()

    def answer(self) -> None:
        raise NotImplementedError

    def send_error_page(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self.send_body(status, json.dumps({"error": message}).encode(), headers)

    def send_json(self, content: object, headers: Mapping[str, str] | None = None) -> None:
        self.send_body(200, json.dumps(content).encode(), {**_JSON, **(headers or {})})

    def send_content(self, content: Content, etag: str, cut_after: int | None = None) -> None:
        """A file, or the range of it that was asked for."""
        asked = _RANGE.fullmatch(self.headers["Range"] or "")
        headers = {"ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        if asked is None or self.fault.whole:
            self.send_part(200, content, range(content.size), headers, cut_after)
            return
        first = int(asked[1])
        last = min(int(asked[2] or content.size), content.size - 1)
        if first > last:
            headers["Content-Range"] = f"bytes */{content.size}"
            self.send_body(416, b"", headers)
            return
        headers["Content-Range"] = f"bytes {first}-{last}/{content.size}"
        self.send_part(206, content, range(first, last + 1), headers, cut_after)

    def send_body(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_part(status, Content(body), range(len(body)), headers)

    def send_part(
        self,
        status: int,
        content: Content,
        part: range,
        headers: Mapping[str, str],
        cut_after: int | None = None,
    ) -> None:
        """These bytes of `content`, or less where a fault or `cut_after` wants it."""
        part = part[: len(part) - self.fault.short]
        if self.fault.cut is not None and self.command == "GET":
            cut_after = int(len(part) * self.fault.cut)
        self.send_response(status)
        for name, value in {**headers, **self.fault.headers}.items():
            self.send_header(name, value)
        if "Content-Length" not in {**headers, **self.fault.headers}:
            self.send_header("Content-Length", str(len(part)))
        sent = part[:cut_after] if self.command != "HEAD" else range(0)
        # Before anything is sent: a test may look as soon as it has its answer.
        self._record(status, len(sent))
        self.end_headers()
        try:
            content.send(self.connection, sent)
        except OSError:
            self.close_connection = True  # the client was killed
        if self.command != "HEAD" and len(sent) < len(part):
            self.close_connection = True

    def _record(self, status: int, sent: int) -> None:
        self.hub.requests.append(
            Request(
                self.host,
                self.command,
                self.route,
                self.token,
                self.headers["Range"] or "",
                status,
                sent,
            )
        )


class StorageHandler(Handler):
    """Objects by digest, for whoever has the signature of the URL. It never wants a token."""

    host = "storage"

    def answer(self) -> None:
        match = _OBJECT.fullmatch(self.route)
        signature = parse_qs(urlsplit(self.path).query).get("signature", [""])[0]
        if match is None or signature not in self.hub.signatures:
            self.send_error_page(403, "", "the signature has expired")
        elif self.command == "PUT":
            content = Content(self.body)
            if content.sha256 != match[1]:
                self.send_error_page(400, "", "not the bytes of that digest")
                return
            self.hub.objects[match[1]] = content
            self.send_body(200, b"", {})
        elif match[1] not in self.hub.objects:
            self.send_error_page(404, "", "no such object")
        else:
            etag = self.hub.storage_etags.get(match[1], match[1])
            repo = self.hub.signatures[signature]
            self.send_content(self.hub.objects[match[1]], etag, repo.cut_after)


class HubHandler(Handler):
    """The Hub's pages and its API."""

    host = "hub"

    def answer(self) -> None:
        self.hub.log.append(f"{self.command} {self.route}")
        if _YAML.fullmatch(self.route):
            self.send_json({"errors": [], "warnings": []})
            return
        if _CREATE.fullmatch(self.route):
            self._create()
            return
        routes = _WRITING if self.command == "POST" else _READING
        for pattern, name in routes.items():
            match = pattern.fullmatch(self.route)
            if match is None:
                continue
            revision = match[2] if pattern.groups > 1 else None
            found = self._allowed(match[1], revision or "main", writing=self.command == "POST")
            if found is not None:
                getattr(self, name)(match[1], *found, *match.groups()[2:])
            return
        self.send_error_page(404, "", "no such page")

    def _allowed(
        self, name: str, revision: str, *, writing: bool
    ) -> tuple[Repo, dict[str, Content], str] | None:
        """The repository, its files at the revision and the commit; or None, having said why."""
        repo = self.hub.repos.get(name)
        knows = repo is not None and self.token in repo.tokens
        missing = 404 if self.token else 401
        if repo is None or (repo.private and not knows):
            self.send_error_page(missing, "RepoNotFound", "Repository not found")
            return None
        if repo.gated and not knows:
            status = 403 if self.token else 401
            self.send_error_page(status, "GatedRepo", f"Access to {name} is restricted")
            return None
        if repo.status != 200 or (writing and not knows):
            self.send_error_page(repo.status if repo.status != 200 else 403, "", "in trouble")
            return None
        files = repo.at(revision)
        if files is None:
            self.send_error_page(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        commit = repo.commit if revision in repo.branches else revision
        return repo, files, commit

    def _info(self, name: str, repo: Repo, files: dict[str, Content], commit: str) -> None:
        siblings = [{"rfilename": path} for path in files]
        self.send_json({"id": name, "modelId": name, "sha": commit, "siblings": siblings})

    def _tree(self, name: str, repo: Repo, files: dict[str, Content], commit: str) -> None:
        entries = [_entry(path, content) for path, content in sorted(files.items())]
        first = int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])
        headers = {}
        if first + _PAGE < len(entries):
            following = f"{self.hub.url}{self.route}?recursive=true&cursor={first + _PAGE}"
            headers["Link"] = f'<{following}>; rel="next"'
        self.send_json(entries[first : first + _PAGE], headers)

    def _file(
        self, name: str, repo: Repo, files: dict[str, Content], commit: str, path: str
    ) -> None:
        headers = {"X-Repo-Commit": commit}
        if path not in files:
            self.send_error_page(404, "EntryNotFound", "Entry not found")
            return
        content = files[path]
        if not in_lfs(path, content):
            self.fault.headers = {**headers, **self.fault.headers}
            self.send_content(content, content.oid, repo.cut_after)
            return
        self.hub.objects[content.sha256] = content
        headers |= {
            "Location": self.hub.signed(content.sha256, repo),
            "X-Linked-ETag": f'"{content.sha256}"',
            "X-Linked-Size": str(content.size),
        }
        self.send_body(302, b"", headers)

    def _create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if not self.token:
            self.send_error_page(401, "", "Invalid username or password")
        elif name in self.hub.repos:
            said = {"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"}
            self.send_body(409, json.dumps(said).encode(), _JSON)
        elif self.token not in self.hub.writers:
            self.send_error_page(403, "", "you may not write here")
        else:
            private = asked.get("visibility") == "private" or bool(asked.get("private"))
            self.hub.repos[name] = Repo({}, private=private, tokens=(self.token,))
            self.send_json({"url": f"{self.hub.url}/{name}", "name": name})

    def _preupload(self, name: str, repo: Repo, files: dict[str, Content], commit: str) -> None:
        answers = []
        for asked in json.loads(self.body)["files"]:
            sample = Content(base64.b64decode(asked["sample"]))
            large = asked["size"] > _LARGE_UPLOAD or in_lfs(asked["path"], sample)
            mode = "lfs" if large else "regular"
            answer = {"path": asked["path"], "uploadMode": mode, "shouldIgnore": False}
            if asked["path"] in files:
                known = files[asked["path"]]
                answer["oid"] = known.sha256 if mode == "lfs" else known.oid
            answers.append(answer)
        self.send_json({"files": answers})

    def _batch(self, name: str, repo: Repo, files: dict[str, Content], commit: str) -> None:
        answers = []
        for asked in json.loads(self.body)["objects"]:
            answer: dict[str, Any] = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.hub.objects:
                href = self.hub.signed(asked["oid"], repo)
                answer["actions"] = {"upload": {"href": href, "header": {}}}
            answers.append(answer)
        self.send_json({"transfer": "basic", "objects": answers})

    def _commit(self, name: str, repo: Repo, files: dict[str, Content], commit: str) -> None:
        written = dict(files)
        for line in self.body.splitlines():
            asked = json.loads(line)
            value = asked["value"]
            if asked["key"] == "file":
                written[value["path"]] = Content(base64.b64decode(value["content"]))
            elif asked["key"] == "lfsFile":
                if value["oid"] not in self.hub.objects:
                    self.send_error_page(400, "", "an object was never uploaded")
                    return
                written[value["path"]] = self.hub.objects[value["oid"]]
            elif asked["key"] == "header" and value.get("parentCommit", commit) != commit:
                self.send_error_page(412, "", "somebody else was faster")
                return
        repo.write(written)
        url = f"{self.hub.url}/{name}/commit/{repo.commit}"
        self.send_json({"commitUrl": url, "commitOid": repo.commit, "pullRequestUrl": None})


_LARGE_UPLOAD = 10 * 1024 * 1024
_READING = {_TREE: "_tree", _INFO: "_info", _FILE: "_file"}
_WRITING = {_PREUPLOAD: "_preupload", _BATCH: "_batch", _COMMIT: "_commit"}


def _entry(path: str, content: Content) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": content.size, "oid": content.oid}
    if in_lfs(path, content):
        entry["lfs"] = {"oid": content.sha256, "size": content.size, "pointerSize": 130}
    return entry
