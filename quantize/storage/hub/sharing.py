"""One process reads from the Hub for all: the others ask it.

Every byte then comes over the network once, and passes where digests are computed. What asks is a
worker process of our own, over a local socket (a pipe on Windows) that wants a key of this run.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any, Protocol


class SharedRoute(Protocol):
    """The way by which the first process reads."""

    def place(self, name: str) -> Path | None:
        """Where a file is on the disk, when it is complete; None if it is read by ranges."""
        ...

    def read_into(self, name: str, offset: int, view: memoryview) -> None:
        """Fill `view` with bytes of a file."""
        ...


class SharedFiles(Protocol):
    """What the first process shares: its files, by the route that it has at the time."""

    @property
    def route(self) -> SharedRoute: ...


class SharedFilesServer:
    """Answers those that hold `client`, one thread for each, until it is closed."""

    def __init__(self, files: SharedFiles) -> None:
        self._files = files
        self._closed = False
        key = secrets.token_bytes(32)
        self._listener = Listener(backlog=64, authkey=key)
        self.client = SharedFilesClient(self._listener.address, key)
        threading.Thread(target=self._accept, name="sharing", daemon=True).start()

    def close(self) -> None:
        self._closed = True
        # Nothing else wakes who waits for a caller; and nobody waits for that.
        threading.Thread(target=self.client.wake, daemon=True).start()

    def _accept(self) -> None:
        with self._listener:
            while not self._closed:
                # A caller may be killed as it connects, or have no business here.
                with contextlib.suppress(AuthenticationError, EOFError, OSError):
                    caller = self._listener.accept()
                    threading.Thread(target=self._answer, args=(caller,), daemon=True).start()

    def _answer(self, caller: Connection) -> None:
        with caller, contextlib.suppress(EOFError, OSError):
            while True:
                name, offset, nbytes = caller.recv()
                data = bytearray(nbytes)
                found: Any = None
                try:
                    found = self._files.route.place(name)
                    if found is None:
                        self._files.route.read_into(name, offset, memoryview(data))
                except Exception as error:  # noqa: BLE001 - whoever asked raises it
                    found = error
                caller.send(found)
                if found is None:
                    caller.send_bytes(data)


class SharedFilesClient:
    """Asks a SharedFilesServer, from any thread of any process that this was sent to."""

    def __init__(self, address: Any, key: bytes) -> None:
        self._address = address
        self._key = key
        self._own = threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedFilesClient, (self._address, self._key)

    def wake(self) -> None:
        """Connect and leave: the server looks whether it is closed."""
        with contextlib.suppress(AuthenticationError, EOFError, OSError):
            Client(self._address, authkey=self._key).close()

    def read_range(self, name: str, offset: int, view: memoryview) -> Path | None:
        """Fill `view`, or return where the file is instead. Raises what the other process met."""
        if not hasattr(self._own, "connection"):
            self._own.connection = Client(self._address, authkey=self._key)
        connection: Connection = self._own.connection
        connection.send((name, offset, len(view)))
        found = connection.recv()
        if isinstance(found, Exception):
            raise found
        if found is None:
            connection.recv_bytes_into(view)
            return None
        return Path(found)
