"""A proxy and a mirror on the loopback interface, for the tests' Hub behind them."""

from __future__ import annotations

import http.client
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

from tests.support.loopback import Loopback

HIDDEN = "http://hub.invalid"  # a name that nobody can resolve: only the relay knows whose it is
PREFIX = "/mirror"
_NOT_PASSED = {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "host"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    relay: ClassVar[Relay]

    def do_GET(self) -> None:
        self._pass()

    def do_HEAD(self) -> None:
        self._pass()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        """What came is in `relay.passed`."""

    def _pass(self) -> None:
        asked = urlsplit(self.path)
        hub = urlsplit(self.relay.hub).netloc
        # A proxy is asked for whole URLs, a mirror for paths of its own.
        host = hub if f"//{asked.netloc}" in HIDDEN or not asked.netloc else asked.netloc
        path = asked.path.removeprefix(PREFIX) + (f"?{asked.query}" if asked.query else "")
        self.relay.passed.append(f"{self.command} {self.path}")
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _NOT_PASSED}
        connection = http.client.HTTPConnection(host, timeout=30)
        try:
            connection.request(self.command, path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _NOT_PASSED:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Relay(Loopback):
    """Passes requests on to the Hub at the URL `hub`, and to other hosts as they are asked for."""

    def __init__(self, hub: str) -> None:
        self.hub = hub
        self.passed: list[str] = []
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"relay": self}))
        server.daemon_threads = True
        super().__init__(server)

    @property
    def url(self) -> str:
        return f"http://{self.host}"
