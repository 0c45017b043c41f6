"""Ranges, blocks and patience, below any command."""

from __future__ import annotations

import email.utils
import hashlib
import pickle
import random
import threading
import time
from collections.abc import Iterator
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path

import pytest

from quantize.errors import CheckpointError, NetworkError
from quantize.storage.background import Background
from quantize.storage.hub import retry as hub_retry
from quantize.storage.hub.blocks import BlockCache
from quantize.storage.hub.downloads import fetch
from quantize.storage.hub.files import HubFiles
from quantize.storage.hub.http import RangeReader
from quantize.storage.hub.repository import parse_hub_id, pin
from quantize.storage.hub.sharing import SharedFilesServer
from tests.support.hub_client import connect
from tests.support.hub_server import Content, Fault, HubServer, Repo

DATA = random.Random(0).randbytes(3_000_000)  # noqa: S311 (nothing secret)
NAME = "model.safetensors"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    repo = Repo({NAME: DATA, "config.json": b"{}"})
    with HubServer({"org/model": repo}) as server:
        connect(monkeypatch, server.url, tmp_path / "home")
        yield server


@pytest.fixture
def reader(hub: HubServer) -> RangeReader:
    return RangeReader(pin("org/model", None))


def read(reader: RangeReader, offset: int, nbytes: int) -> bytes:
    data = bytearray(nbytes)
    reader.read_into(NAME, offset, memoryview(data))
    return bytes(data)


def ranges(hub: HubServer) -> list[str]:
    return [request.range for request in hub.requests if request.host == "storage"]


def test_a_range_is_one_request_of_exactly_those_bytes(hub: HubServer, reader: RangeReader) -> None:
    assert read(reader, 1000, 500) == DATA[1000:1500]
    assert read(reader, len(DATA) - 1, 1) == DATA[-1:]
    assert ranges(hub) == ["bytes=1000-1499", "bytes=2999999-2999999"]
    # The Hub is asked once where the file lies.
    assert len([line for line in hub.log if line.startswith("HEAD")]) == 1


def test_what_arrived_before_a_break_is_not_asked_for_again(
    hub: HubServer, reader: RangeReader
) -> None:
    hub.faults.waiting.append(Fault("GET storage", cut=0.5))
    assert read(reader, 0, 1000) == DATA[:1000]
    assert ranges(hub) == ["bytes=0-999", "bytes=500-999"]


def test_a_body_that_is_shorter_than_asked_is_continued(
    hub: HubServer, reader: RangeReader
) -> None:
    hub.faults.waiting.append(Fault("GET storage", short=10))
    assert read(reader, 0, 1000) == DATA[:1000]
    assert ranges(hub) == ["bytes=0-999", "bytes=990-999"]


def test_a_range_of_another_size_is_another_file(hub: HubServer, reader: RangeReader) -> None:
    headers = {"Content-Range": "bytes 0-99/99999"}
    hub.faults.waiting.append(Fault("GET storage", headers=headers, status=206))
    with pytest.raises(CheckpointError) as raised:
        read(reader, 0, 100)
    assert raised.value.code == "file-changed"


def test_a_digest_that_is_not_the_listed_one_is_another_file(
    hub: HubServer, reader: RangeReader
) -> None:
    hub.faults.waiting.append(Fault("HEAD hub", headers={"X-Linked-ETag": f'"{"0" * 64}"'}))
    with pytest.raises(CheckpointError) as raised:
        read(reader, 0, 100)
    assert raised.value.code == "file-changed"


def test_patience_ends(hub: HubServer, reader: RangeReader) -> None:
    hub.faults.waiting.append(Fault("GET storage", status=503, times=None))
    with pytest.raises(NetworkError) as raised:
        read(reader, 0, 100)
    assert raised.value.code == "connection-lost"
    assert raised.value.reason == "HTTP 503"
    assert len(ranges(hub)) == 7


def test_a_header_is_one_request_and_a_long_one_two(hub: HubServer) -> None:
    files = HubFiles(pin("org/model", None))
    assert files.read(NAME, 0, 8) == DATA[:8]
    assert files.read(NAME, 8, 50_000) == DATA[8:50_008]
    assert ranges(hub) == ["bytes=0-99999"]
    assert files.read(NAME, 8, 250_000) == DATA[8:250_008]
    assert ranges(hub)[1:] == ["bytes=100000-250007"]


def test_another_process_asks_the_one_that_streams(hub: HubServer) -> None:
    files = HubFiles(pin("org/model", None))
    files.stream([NAME], 4 << 20)
    files.share()
    again = pickle.loads(pickle.dumps(files))
    for offset in range(0, len(DATA), 100_000):
        assert again.read(NAME, offset, 100_000) == DATA[offset : offset + 100_000]
    assert sum(request.sent for request in hub.requests if request.host == "storage") == len(DATA)
    assert files.unchecked([NAME]) == [], "the digest is computed where the bytes come"
    with pytest.raises(CheckpointError, match="other"):
        again.read("other", 0, 1)
    files.close()


def test_what_is_not_shared_goes_to_no_other_process(hub: HubServer) -> None:
    with pytest.raises(RuntimeError, match="share"):
        pickle.dumps(HubFiles(pin("org/model", None)))


def test_a_file_that_is_read_in_part_is_not_called_checked(hub: HubServer) -> None:
    files = HubFiles(pin("org/model", None))
    files.stream([NAME], 4 << 20)
    files.read(NAME, len(DATA) // 2, len(DATA) // 2)
    assert files.unchecked([NAME]) == [NAME]
    assert files.digests()[NAME] == hashlib.sha256(DATA).hexdigest(), "the Hub's word"
    files.read(NAME, 0, len(DATA) // 2)
    assert files.unchecked([NAME]) == [], "the rest came, if not in order"
    files.close()


def test_an_error_reaches_the_process_that_asked(hub: HubServer) -> None:
    files = HubFiles(pin("org/model", None))
    files.stream([NAME], 4 << 20)
    files.share()
    again = pickle.loads(pickle.dumps(files))
    hub.faults.waiting.append(Fault("GET storage", headers={"Content-Range": "x"}, times=None))
    with pytest.raises(CheckpointError) as raised:
        again.read(NAME, 0, 10)
    assert raised.value.code == "file-changed"
    files.close()


def test_nobody_without_the_key_of_the_run_is_let_in(hub: HubServer) -> None:
    files = HubFiles(pin("org/model", None))
    sharing = SharedFilesServer(files)
    address = sharing.client._address
    with pytest.raises(AuthenticationError):
        Client(address, authkey=b"guessed")
    view = bytearray(10)
    assert sharing.client.read_range(NAME, 5, memoryview(view)) is None
    assert bytes(view) == DATA[5:15], "others are still served"
    sharing.close()


def test_a_file_in_the_cache_is_checked_before_it_is_read(hub: HubServer, tmp_path: Path) -> None:
    files = HubFiles(pin("org/model", None))
    path = fetch(files.repository, NAME)
    path.resolve().write_bytes(DATA[:-1] + b"x")
    files.stream([NAME], 4 << 20)
    assert files.read(NAME, 0, len(DATA)) == DATA, "it is fetched again"
    assert files.unchecked([NAME]) == []
    files.close()


class Watcher:
    """Keeps what it is told of one file."""

    def __init__(self) -> None:
        self.seen: list[int | str] = []

    def coming(self, name: str, nbytes: int) -> None:
        self.seen.append(nbytes)

    def arrived(self, name: str) -> None:
        self.seen.append(name)


def test_another_process_waits_for_what_the_first_one_downloads(hub: HubServer) -> None:
    files = HubFiles(pin("org/model", None))
    watcher = Watcher()
    hub.faults.waiting.append(Fault("GET storage", delay=0.3))
    files.download([NAME], watcher)
    files.share()
    again = pickle.loads(pickle.dumps(files))
    assert again.read(NAME, 7, 10) == files.read(NAME, 7, 10) == DATA[7:17]
    assert watcher.seen == [0, len(DATA), NAME]
    assert len(ranges(hub)) == 1
    files.close()


def test_the_token_is_in_no_text(hub: HubServer) -> None:
    assert "hf_secret" not in repr(pin("org/model", None, "hf_secret"))


def test_no_byte_behind_the_end(hub: HubServer) -> None:
    files = HubFiles(pin("org/model", None))
    with pytest.raises(CheckpointError, match=NAME):
        files.read(NAME, len(DATA) - 5, 6)
    with pytest.raises(CheckpointError, match="other"):
        files.read("other", 0, 1)


# Waiting.


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What Backoff sleeps, without sleeping."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def test_waits_double_with_jitter_and_end(waits: list[float]) -> None:
    backoff = hub_retry.Backoff(tries=9)
    assert [backoff.wait() for _ in range(9)] == [True] * 8 + [False]
    for number, wait in enumerate(waits):
        longest = min(0.5 * 2**number, 30)
        assert longest / 2 <= wait <= longest
    assert len(set(waits)) == len(waits)


def test_progress_resets_the_patience(waits: list[float]) -> None:
    backoff = hub_retry.Backoff(tries=2)
    for _ in range(5):
        assert backoff.wait()
        backoff.progress()
    assert max(waits) <= 0.5


def test_a_server_that_says_when_is_obeyed(waits: list[float]) -> None:
    backoff = hub_retry.Backoff()
    assert backoff.wait(7.0)
    assert 7.0 <= waits[0] <= 8.0
    assert not backoff.wait(3600.0)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "3"}, 3.0),
        ({"Retry-After": "soon"}, None),
        ({"RateLimit": '"api";r=0;t=55'}, 55.0),
        ({}, None),
    ],
)
def test_how_long_a_server_asks_to_wait(headers: dict[str, str], expected: float | None) -> None:
    assert hub_retry.wait_asked_for(headers) == expected


def test_a_date_to_come_back_at() -> None:
    date = email.utils.formatdate(time.time() + 100, usegmt=True)
    wait = hub_retry.wait_asked_for({"Retry-After": date})
    assert wait is not None
    assert 95 < wait <= 100


# BlockCache.


class Files:
    """Counts what is fetched of DATA."""

    def __init__(self) -> None:
        self.fetched: list[int] = []
        self.whole: dict[str, str] = {}
        self.lock = threading.Lock()

    def fetch(self, name: str, offset: int, view: memoryview) -> None:
        with self.lock:
            self.fetched.append(offset)
        view[:] = DATA[offset : offset + len(view)]

    def blocks(self, memory: int = 4 << 20) -> BlockCache:
        return BlockCache(self.fetch, {NAME: len(DATA)}, memory, self.whole.__setitem__)


def test_every_block_is_fetched_once_for_all_readers() -> None:
    files = Files()
    blocks = files.blocks()
    results: dict[int, bytes] = {}

    def reader(start: int) -> None:
        for offset in range(start, len(DATA), 40_000):
            view = bytearray(min(10_000, len(DATA) - offset))
            blocks.read_into(NAME, offset, memoryview(view))
            results[offset] = bytes(view)

    threads = [threading.Thread(target=reader, args=(start,)) for start in range(0, 40_000, 10_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert b"".join(results[offset] for offset in sorted(results)) == DATA
    assert len(files.fetched) == len(set(files.fetched)) == -(-len(DATA) // blocks.block)
    assert files.whole == {NAME: hashlib.sha256(DATA).hexdigest()}
    blocks.close()


def test_a_file_that_is_read_in_part_has_no_digest() -> None:
    files = Files()
    blocks = files.blocks()
    blocks.read_into(NAME, len(DATA) - 10, memoryview(bytearray(10)))
    assert files.whole == {}
    blocks.close()


def test_a_file_that_is_refused_is_refused_for_good() -> None:
    def refuse(name: str, sha256: str) -> None:
        raise ValueError(sha256)

    blocks = BlockCache(Files().fetch, {NAME: len(DATA)}, 16 << 20, refuse)
    for _ in range(2):
        with pytest.raises(ValueError, match=hashlib.sha256(DATA).hexdigest()):
            blocks.read_into(NAME, 0, memoryview(bytearray(len(DATA))))
    blocks.close()


def test_a_fetch_that_failed_is_tried_again_by_the_next_reader() -> None:
    files, failures = Files(), [OSError("broken")] * 8

    def fetch(name: str, offset: int, view: memoryview) -> None:
        if failures:
            raise failures.pop()
        files.fetch(name, offset, view)

    blocks = BlockCache(fetch, {NAME: 1000}, 4 << 20, files.whole.__setitem__)
    view = bytearray(1000)
    for _ in range(8):
        with pytest.raises(OSError, match="broken"):
            blocks.read_into(NAME, 0, memoryview(view))
    blocks.read_into(NAME, 0, memoryview(view))
    assert bytes(view) == DATA[:1000]
    blocks.close()


def test_background_work_hands_back_results_and_errors() -> None:
    background = Background(2, "test")
    assert background.submit(lambda: 7).result() == 7
    with pytest.raises(KeyError):
        background.submit(lambda: dict[str, int]()["missing"]).result()
    background.close()


# Names.


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://huggingface.co/org/name", ("org/name", None)),
        ("https://huggingface.co/org/name/tree/main", ("org/name", "main")),
        ("https://hf.co/org/name/blob/v1.0/config.json", ("org/name", "v1.0")),
        ("https://huggingface.co/org/name/tree/refs%2Fpr%2F3", ("org/name", "refs/pr/3")),
        ("https://huggingface.co/org", None),
        ("https://huggingface.co/datasets/org/name", None),
        ("https://example.com/org/name", None),
    ],
)
def test_urls_of_the_hub_are_names_too(text: str, found: tuple[str, str | None] | None) -> None:
    assert parse_hub_id(text) == found


def test_a_tree_of_many_pages_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"model-{number:05d}-of-00250.safetensors": b"x" for number in range(250)}
    with HubServer({"org/many": Repo(files)}) as server:
        connect(monkeypatch, server.url, tmp_path / "home")
        found = pin("org/many", None)
    assert set(found.files) == set(files)
    assert all(file.sha256 == Content(b"x").sha256 for file in found.files.values())
