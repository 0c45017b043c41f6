"""A small Ollama on the loopback interface, as far as making models needs it.

It has the semantics of Ollama 0.33: HEAD and POST of blobs by digest, where one that exists is
answered without reading the body; create, streamed as lines of JSON, where an error after the first
line comes with status 200; show, which prints parameters as Go does. It plays faults and records
requests.

Where it deviates from the real one:

- Nothing is validated by llama-quantize, and models are kept as the requests that made them.
- No template is taken for a known one but by the fault "hijack".
- The template of the request is shown; a test says by `shows` where it is to be the Jinja.
"""

from __future__ import annotations

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.loopback import Loopback

_DIGEST = re.compile(r"/api/blobs/(sha256:[0-9a-f]{64})")


class OllamaServer(Loopback):
    """A server while the `with` block runs. `faults` are names, each played every time:

    "gone": closes the connection at /api/create after the first line;
    "gone-while-uploading": closes the connection before a blob is read;
    "late-error": ends /api/create with an error, status 200;
    "early-error": refuses /api/create with status 400;
    "damaged": what is uploaded arrives otherwise;
    "racing": a blob comes into being between HEAD and POST;
    "silent-end": /api/create ends well but without "success";
    "full": /api/create ends with what the system says of a full disk;
    "forgetful": /api/show knows nothing of the model;
    "hijack": a template of its own takes the place of the model's.
    """

    def __init__(self, *faults: str, shows: dict[str, Any] | None = None) -> None:
        self.faults = set(faults)
        self.shows = shows or {}  # what /api/show says beside what a request said
        self.blobs: dict[str, bytes] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.log: list[str] = []
        self.unread = 0  # bodies that were answered without being read
        handler = type("Bound", (_Handler,), {"ollama": self})
        super().__init__(_Server(("127.0.0.1", 0), handler))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    ollama: OllamaServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._record()
        known = self._digest() in self.ollama.blobs
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self._record()
        self._answer(200, {"version": "0.33.0"})

    def do_POST(self) -> None:
        self._record()
        if self.path.startswith("/api/blobs/"):
            self._blob()
            return
        body = json.loads(self._body())
        {"/api/create": self._create, "/api/show": self._show}[self.path](body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name in the base)
        """Tests print nothing."""

    def _record(self) -> None:
        self.ollama.log.append(f"{self.command} {self.path}")

    def _digest(self) -> str:
        match = _DIGEST.fullmatch(self.path)
        assert match is not None, f"invalid digest format: {self.path}"
        return match[1]

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _blob(self) -> None:
        digest = self._digest()
        if digest in self.ollama.blobs or "racing" in self.ollama.faults:
            self.ollama.blobs.setdefault(digest, b"")
            self.ollama.unread += 1
            self.close_connection = True
            self._answer(200, None)
            return
        if "gone-while-uploading" in self.ollama.faults:
            self.close_connection = True
            return
        data = self._body()
        if "damaged" in self.ollama.faults:
            data += b"!"
        found = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if found != digest:
            self._answer(400, {"error": f"digest mismatch, expected {digest}, got {found}"})
            return
        self.ollama.blobs[digest] = data
        self._answer(201, None)

    def _create(self, body: dict[str, Any]) -> None:
        assert body["stream"] is True, "the client streams"
        missing = [d for d in body.get("files", {}).values() if d not in self.ollama.blobs]
        if missing or "early-error" in self.ollama.faults:
            self._answer(400, {"error": "unknown type"})
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self._line({"status": "parsing GGUF"})
        if "gone" in self.ollama.faults:
            return
        self._line({"status": "verifying conversion", "digest": "", "total": 2, "completed": 1})
        self._line({"status": "verifying conversion", "digest": "", "total": 2, "completed": 2})
        if "full" in self.ollama.faults:
            self._line({"error": "write /models/blobs/x: no space left on device"})
            return
        if "late-error" in self.ollama.faults:
            self._line({"error": "llama-quantize failed: exit status 1"})
            return
        self.ollama.models[body["model"]] = body
        if "silent-end" not in self.ollama.faults:
            self._line({"status": "success"})

    def _show(self, body: dict[str, Any]) -> None:
        made = self.ollama.models.get(body["model"])
        if made is None or "forgetful" in self.ollama.faults:
            self._answer(404, {"error": f"model '{body['model']}' not found"})
            return
        said = {
            "template": made.get("template", "{{ .Prompt }}"),
            "system": made.get("system", ""),
            "parameters": _as_go_prints(made.get("parameters", {})),
            **self.ollama.shows,
        }
        if "hijack" in self.ollama.faults:
            said["template"] = "{{ .System }} of another model {{ .Prompt }}"
        self._answer(200, said)

    def _line(self, found: dict[str, Any]) -> None:
        self.wfile.write(json.dumps(found).encode() + b"\n")
        self.wfile.flush()

    def _answer(self, status: int, found: dict[str, Any] | None) -> None:
        data = b"" if found is None else json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _as_go_prints(parameters: dict[str, Any]) -> str:
    """Names in a column of thirty, values by the verb %#v, a line for each of a list."""
    lines = []
    for name, value in sorted(parameters.items()):
        values = value if isinstance(value, list) else [value]
        lines += [f"{name:30} {json.dumps(one, ensure_ascii=False)}" for one in values]
    return "\n".join(lines)
