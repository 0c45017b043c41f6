"""Ollama's HTTP API, as far as making a model needs it. With the standard library alone."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from quantize.errors import DiskError, NetworkError, VerificationError, unreadable
from quantize.ollama.server.host import Host, host_from_environment
from quantize.progress import Progress

_PIECE = 1 << 20
# Seconds. Connecting is quick or does not happen; between two lines the server may copy a model of
# hundreds of gigabytes.
_CONNECT_TIMEOUT = 10.0
_FIRST_ANSWER_TIMEOUT = 10.0
_SHOW_TIMEOUT = 60.0
_ANSWER_TIMEOUT = 6 * 3600.0
# What systems say where a disk is full.
_DISK_FULL = ("no space left on device", "not enough space on the disk")
_MAX_ERROR = 2000
_OK, _CREATED, _NOT_FOUND, _BAD_REQUEST = 200, 201, 404, 400

Json = dict[str, Any]


class Client:
    """One server. Every method raises NetworkError if it is not there or breaks off."""

    def __init__(self, host: Host | None = None) -> None:
        self.host: Final = host or host_from_environment()

    def ping(self) -> str:
        """The server's version."""
        said = self._json("GET", "/api/version", None, _FIRST_ANSWER_TIMEOUT)
        version = said.get("version")
        return version if isinstance(version, str) else "?"

    def has_blob(self, digest: str) -> bool:
        with self._connected() as connection:
            connection.request("HEAD", self._path(f"/api/blobs/{digest}"))
            answer = connection.getresponse()
            answer.read()
            if answer.status not in (_OK, _NOT_FOUND):
                raise self._refused(answer.status, "")
            return answer.status == _OK

    def upload(self, path: Path, digest: str, progress: Progress) -> None:
        """Send a file that the server does not have.

        Ask `has_blob` before: a server that has the file answers without reading it.
        Raises VerificationError if what arrived is not what `digest` says.
        """
        with self._connected() as connection, _opened(path) as file:
            connection.putrequest("POST", self._path(f"/api/blobs/{digest}"))
            connection.putheader("Content-Type", "application/octet-stream")
            connection.putheader("Content-Length", str(path.stat().st_size))
            connection.endheaders()
            try:
                while piece := file.read(_PIECE):
                    connection.send(piece)
                    progress.advance(len(piece), path.name)
            except (BrokenPipeError, ConnectionResetError):
                # It answered before it had read everything: what it said is worth more.
                pass
            answer = connection.getresponse()
            text = _error_of(answer.read())
            if answer.status == _BAD_REQUEST and "digest mismatch" in text:
                raise VerificationError(
                    "digest-mismatch",
                    "what arrived at Ollama is not what was sent",
                    where=str(path),
                    reason=text,
                    hint="do not change the file meanwhile, and try again",
                )
            if answer.status not in (_OK, _CREATED):
                raise self._refused(answer.status, text)

    def create(self, request: Json, status: Callable[[str], None]) -> None:
        """Make a model; `status` gets each stage. Raises NetworkError("ollama-refused")."""
        last = ""
        for line in self._lines("/api/create", {**request, "stream": True}):
            if isinstance(line.get("error"), str):
                raise self._refused(_OK, line["error"])
            said = line.get("status")
            if isinstance(said, str) and said != last:
                last = said
                status(said)
        if last != "success":
            raise self._broken_off(f"its last word was {last!r}")

    def show(self, model: str) -> Json:
        """What the server says of a model."""
        return self._json("POST", "/api/show", {"model": model}, _SHOW_TIMEOUT)

    def _json(self, method: str, path: str, body: Json | None, timeout: float) -> Json:
        with self._connected(timeout) as connection:
            self._send(connection, method, path, body)
            answer = connection.getresponse()
            data = answer.read()
            error = _error_of(data)
            if answer.status != _OK or error:
                raise self._refused(answer.status, error)
            return self._object(data)

    def _lines(self, path: str, body: Json) -> Iterator[Json]:
        with self._connected() as connection:
            self._send(connection, "POST", path, body)
            answer = connection.getresponse()
            if answer.status != _OK:
                raise self._refused(answer.status, _error_of(answer.read()))
            while line := answer.readline():
                if line.strip():
                    yield self._object(line)

    def _object(self, data: bytes) -> Json:
        try:
            found = json.loads(data)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._broken_off(f"{data[:80]!r} is not a JSON object")
        return found

    def _send(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: Json | None
    ) -> None:
        data = None if body is None else json.dumps(body).encode()
        connection.request(method, self._path(path), data, {"Content-Type": "application/json"})

    def _path(self, path: str) -> str:
        return self.host.path + path

    @contextmanager
    def _connected(self, timeout: float = _ANSWER_TIMEOUT) -> Iterator[http.client.HTTPConnection]:
        kind = (
            http.client.HTTPSConnection
            if self.host.scheme == "https"
            else http.client.HTTPConnection
        )
        connection = kind(self.host.name, self.host.port, timeout=_CONNECT_TIMEOUT)
        try:
            try:
                connection.connect()
            except OSError as error:
                raise NetworkError(
                    "no-ollama",
                    f"no Ollama server answers at {self.host}",
                    reason=str(error),
                    hint="start it with `ollama serve`, or set OLLAMA_HOST",
                ) from error
            connection.sock.settimeout(timeout)
            try:
                yield connection
            except TimeoutError as error:
                raise self._broken_off(f"it said nothing for {timeout:g} seconds") from error
            except (OSError, http.client.HTTPException) as error:
                raise self._broken_off(str(error) or type(error).__name__) from error
        finally:
            connection.close()

    def _broken_off(self, reason: str) -> NetworkError:
        return NetworkError(
            "ollama-broke-off",
            f"the Ollama server at {self.host} broke off",
            reason=reason,
            hint="look into the server's log, and try again",
        )

    def _refused(self, status: int, text: str) -> NetworkError:
        if any(one in text.lower() for one in _DISK_FULL):
            return NetworkError(
                "ollama-disk-full",
                f"the disk of the Ollama server at {self.host} is full",
                reason=text,
                hint="make room there: creating takes up to three times the model's size; "
                "OLLAMA_MODELS says which disk",
            )
        return NetworkError(
            "ollama-refused",
            f"the Ollama server at {self.host} refused",
            reason=text or f"HTTP status {status}",
            hint="the server's log has more; `quantize doctor` looks for known causes",
        )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error
    with file:
        yield file


def _unreadable(path: Path, error: OSError) -> DiskError:
    return unreadable(str(path), error)


def digest_of(path: Path, progress: Progress) -> str:
    """The sha256 of a file as Ollama names it. Raises DiskError."""
    sha = hashlib.sha256()
    with _opened(path) as file:
        progress.start("digest", path.stat().st_size)
        while piece := file.read(_PIECE):
            sha.update(piece)
            progress.advance(len(piece), path.name)
        progress.finish()
    return f"sha256:{sha.hexdigest()}"


def _error_of(data: bytes) -> str:
    """The error that a body tells of, else nothing."""
    try:
        found: Any = json.loads(data)
    except ValueError:
        return ""
    error = found.get("error") if isinstance(found, Mapping) else None
    return error[:_MAX_ERROR] if isinstance(error, str) else ""
