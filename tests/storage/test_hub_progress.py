"""What a watcher sees of a conversion while its files still come."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from quantize import api
from quantize.progress import NullProgress
from tests.storage.conftest import NAME
from tests.support.hub_client import connect
from tests.support.hub_faults import storm
from tests.support.hub_server import Fault, HubServer, Repo


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with HubServer({NAME: Repo(files)}) as server:
        connect(monkeypatch, server.url, tmp_path / "home")
        yield server


class Watcher(NullProgress):
    """Keeps how many bytes were converted when each note came."""

    def __init__(self) -> None:
        self.done = 0
        self.notes: dict[str, int] = {}

    def advance(self, nbytes: int, item: str) -> None:
        self.done += nbytes

    def note(self, text: str) -> None:
        self.notes[text] = self.done


def test_conversion_begins_before_the_last_shard_is_here(
    hub: HubServer, folder: Path, tmp_path: Path
) -> None:
    last = max(folder.glob("*.safetensors"))
    held = hashlib.sha256(last.read_bytes()).hexdigest()
    # Its header is a range of 100 kB; only the download of all of it is slow.
    hub.faults.waiting.append(Fault(f"GET storage /lfs/{held}", times=1))
    hub.faults.waiting.append(Fault(f"GET storage /lfs/{held}", delay=1.5))
    watcher = Watcher()
    api.convert(NAME, api.Options(types=("Q8_0",), output=tmp_path, kernels="numpy"), watcher)
    (arrival,) = (done for text, done in watcher.notes.items() if text.startswith(last.name))
    assert arrival >= watcher.done // 2


class DownloadWatcher(NullProgress):
    """Keeps what the stage beside the conversion is told."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int]] = []
        self.steps: list[tuple[int, str]] = []
        self.finished = 0

    def alongside(self, stage: str, total: int) -> DownloadWatcher:
        self.stages.append((stage, total))
        other = DownloadWatcher()
        other.advance, other.finish = self.step, self.end  # type: ignore[method-assign] # ours
        return other

    def step(self, nbytes: int, item: str) -> None:
        self.steps.append((nbytes, item))

    def end(self) -> None:
        self.finished += 1


@pytest.mark.parametrize("faults", [[], storm(0.15)], ids=["calm", "storm"])
def test_a_download_shows_its_bytes_while_they_come(
    faults: list[Fault],
    hub: HubServer,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 14)
    hub.faults.waiting += faults
    watcher = DownloadWatcher()
    options = api.Options(types=("Q8_0",), output=tmp_path, kernels="numpy")
    api.convert(NAME, options, watcher)
    total = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    assert watcher.stages == [("download", total)]
    for file in folder.glob("*.safetensors"):
        steps = [nbytes for nbytes, item in watcher.steps if item == file.name]
        assert sum(steps) == file.stat().st_size
        assert max(steps) < file.stat().st_size / 2
    assert watcher.finished == 1

    again = DownloadWatcher()
    api.convert(NAME, options, again)
    assert again.stages == [], "all of it is in the cache"
