"""What all servers of the tests share: they serve while a `with` block runs, each in a thread."""

from __future__ import annotations

import threading
from http.server import HTTPServer
from types import TracebackType
from typing import Self


class Loopback:
    """HTTP servers that are bound already; the first is the one that a test is told of."""

    def __init__(self, *servers: HTTPServer) -> None:
        self._servers = servers
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.01,)) for server in servers
        ]

    @property
    def host(self) -> str:
        """Address and port, as OLLAMA_HOST says them."""
        return f"127.0.0.1:{self._servers[0].server_port}"

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.shutdown()
        for thread in self._threads:
            thread.join()
        for server in self._servers:
            server.server_close()
