"""How bytes travel: reused connections, redirects, TLS, proxies and mirrors."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from quantize.errors import NetworkError
from quantize.storage.hub import connections as hub_connections
from quantize.storage.hub.connections import Connections
from quantize.storage.hub.http import RangeReader
from quantize.storage.hub.repository import pin
from quantize.storage.hub.retry import TransientError
from tests.support import paths
from tests.support.hub_client import connect, environment
from tests.support.hub_relay import HIDDEN, PREFIX, Relay
from tests.support.hub_server import Fault, HubServer, Repo

DATA = random.Random(0).randbytes(1_000_000)  # noqa: S311 (nothing secret)
FILE = "model.safetensors"
CERTIFICATE = paths.DATA / "tls" / "loopback.pem"
MODEL = "llama-sharded-mixed"
TOKEN = "hf_secret_token"  # noqa: S105 (of our own Hub)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer({"org/model": Repo({FILE: DATA}, tokens=(TOKEN,), private=True)}) as server:
        connect(monkeypatch, server.url, tmp_path / "home")
        yield server


@pytest.fixture
def reader(hub: HubServer) -> RangeReader:
    return RangeReader(pin("org/model", None, TOKEN))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is slept between tries, without sleeping."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def read(reader: RangeReader, offset: int, nbytes: int) -> bytes:
    data = bytearray(nbytes)
    reader.read_into(FILE, offset, memoryview(data))
    return bytes(data)


def test_a_connection_that_the_server_closed_meanwhile_is_replaced_at_once(
    hub: HubServer, reader: RangeReader, waits: list[float]
) -> None:
    assert read(reader, 0, 10) == DATA[:10]
    waits.clear()
    hub.faults.waiting.append(Fault("GET storage", drop=True))
    assert read(reader, 10, 10) == DATA[10:20]
    assert [wait for wait in waits if wait] == []


def test_a_place_that_moved_is_followed_without_the_token(
    hub: HubServer, reader: RangeReader
) -> None:
    assert read(reader, 0, 10) == DATA[:10]
    place = next(request.path for request in hub.requests if request.host == "storage")
    signature = next(iter(hub.signatures))
    moved = f"{place}?signature={signature}&again=1"
    hub.faults.waiting.append(Fault("GET storage", status=302, headers={"Location": moved}))
    assert read(reader, 10, 10) == DATA[10:20]
    assert hub.tokens_seen("storage") == set()


def test_a_redirect_that_never_ends_is_given_up(hub: HubServer, reader: RangeReader) -> None:
    loop = Fault("GET storage", status=302, headers={"Location": "?signature=s0"}, times=None)
    hub.faults.waiting.append(loop)
    with pytest.raises(NetworkError) as raised:
        read(reader, 0, 10)
    assert raised.value.code == "connection-lost"


def test_more_bytes_than_asked_for_are_refused(hub: HubServer, reader: RangeReader) -> None:
    hub.faults.waiting.append(Fault("GET storage", headers={"Content-Length": "1000"}))
    with pytest.raises(Exception, match="not the one that the commit names") as raised:
        read(reader, 0, 10)
    assert getattr(raised.value, "reason", None) == "more bytes came than were asked for"


# TLS.


@pytest.fixture
def tls_hub() -> Iterator[HubServer]:
    hub_connections._tls.cache_clear()
    repo = Repo({FILE: DATA})
    with HubServer({"org/model": repo}, certificate=CERTIFICATE) as server:
        yield server
    hub_connections._tls.cache_clear()


def fetch(server: HubServer) -> bytes:
    content = (server.repos["org/model"].at("main") or {})[FILE]
    server.objects[content.sha256] = content
    place = server.signed(content.sha256, server.repos["org/model"])
    data = bytearray(1000)
    with Connections().get(place, {"Range": "bytes=5-1004"}) as answer:
        assert answer.status == 206
        assert answer.readinto(memoryview(data)) == 1000
    return bytes(data)


def test_tls_with_a_certificate_that_the_environment_trusts(
    tls_hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    assert fetch(tls_hub) == DATA[5:1005]


def test_tls_with_an_unknown_certificate_is_no_connection(
    tls_hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(TransientError, match="certificate"):
        fetch(tls_hub)


# Proxies and mirrors, by the environment alone.


@pytest.fixture(scope="module")
def model(checkpoint: Callable[[str], Path]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in checkpoint(MODEL).iterdir()}


def convert(environ: Mapping[str, str], output: Path, *way: str) -> str:
    """The digest of what a process of its own converts."""
    usual = ["-t", "Q8_0", "-o", str(output), "--kernels", "numpy", "--jobs", "1", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "quantize", "convert", f"org/{MODEL}", *usual, *way],
        env=environ, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    return hashlib.sha256((output / f"{MODEL}-Q8_0.gguf").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def expected(
    model: dict[str, bytes],
    checkpoint: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    from quantize import api

    output = tmp_path_factory.mktemp("local")
    options = api.Options(types=("Q8_0",), output=output, kernels="numpy")
    return api.convert(str(checkpoint(MODEL)), options).files[0].sha256


@pytest.mark.parametrize("way", [[], ["--stream"]], ids=["download", "stream"])
def test_a_proxy_of_the_environment_takes_everything(
    way: list[str], model: dict[str, bytes], expected: str, tmp_path: Path
) -> None:
    with HubServer({f"org/{MODEL}": Repo(model)}) as hub, Relay(hub.url) as relay:
        environ = environment(HIDDEN, tmp_path / "home")
        environ |= {
            "HTTP_PROXY": relay.url,
            "http_proxy": relay.url,
            "NO_PROXY": "",
            "no_proxy": "",
        }
        assert convert(environ, tmp_path / "out", *way) == expected
        assert len(relay.passed) == len(hub.requests) > 10
        assert any("/lfs/" in line for line in relay.passed)


@pytest.mark.parametrize("way", [[], ["--stream"]], ids=["download", "stream"])
def test_a_mirror_under_a_path_of_its_own(
    way: list[str], model: dict[str, bytes], expected: str, tmp_path: Path
) -> None:
    repo = Repo(model, gated=True, tokens=(TOKEN,))
    with HubServer({f"org/{MODEL}": repo}) as hub, Relay(hub.url) as relay:
        environ = {**environment(relay.url + PREFIX, tmp_path / "home"), "HF_TOKEN": TOKEN}
        assert convert(environ, tmp_path / "out", *way) == expected
        assert all(line.split()[1].startswith(PREFIX) for line in relay.passed)
        assert hub.tokens_seen("hub") == {TOKEN}
        assert hub.tokens_seen("storage") == set()
