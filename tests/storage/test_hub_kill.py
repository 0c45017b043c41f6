"""A conversion from the Hub is killed, and the same command goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quantize import api
from quantize.verbs.verify import verify
from tests.storage.conftest import MODEL, NAME
from tests.support.hub_client import connect, environment
from tests.support.hub_server import Fault, HubServer, Repo


@pytest.fixture
def hub(folder: Path) -> Iterator[HubServer]:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with HubServer({NAME: Repo(files)}) as server:
        yield server


def command(output: Path, way: list[str]) -> list[str]:
    usual = ["-t", "Q8_0", "-o", str(output), "--kernels", "numpy", "--jobs", "1", "-q"]
    return [sys.executable, "-m", "quantize", "convert", NAME, *usual, *way]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def digest(output: Path) -> str:
    return hashlib.sha256((output / f"{MODEL}-Q8_0.gguf").read_bytes()).hexdigest()


def fetched(hub: HubServer, path: Path) -> int:
    """Bytes that storage has sent of a file."""
    name = "/lfs/" + hashlib.sha256(path.read_bytes()).hexdigest()
    return sum(request.sent for request in hub.requests if request.path == name)


@pytest.mark.parametrize("way", [[], ["--stream"]], ids=["download", "stream"])
def test_a_killed_conversion_goes_on_with_what_is_missing(
    way: list[str],
    hub: HubServer,
    folder: Path,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, last = tmp_path / "out", max(folder.glob("*.safetensors"))
    held = hashlib.sha256(last.read_bytes()).hexdigest()
    # The header of the last shard arrives; its weights do not before the kill.
    hub.faults.waiting.append(Fault(f"GET storage /lfs/{held}"))
    stuck = Fault(f"GET storage /lfs/{held}", delay=2, drop=True, times=None)
    hub.faults.waiting.append(stuck)
    environ = environment(hub.url, tmp_path / "home")
    process = subprocess.Popen(command(output, way), env=environ, process_group=0)
    journal = output / f"{MODEL}-Q8_0.gguf.journal"
    # Two lines: what the run is about, and the first finished tensors.
    wait_for(lambda: journal.is_file() and len(journal.read_bytes().splitlines()) >= 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (output / f"{MODEL}-Q8_0.gguf").exists()

    hub.faults.waiting.remove(stuck)
    hub.requests.clear()
    connect(monkeypatch, hub.url, tmp_path / "home")
    options = api.Options(types=("Q8_0",), output=output, kernels="numpy", stream=bool(way))
    api.convert(NAME, options)
    assert digest(output) == expected
    sent = {path: fetched(hub, path) for path in folder.glob("*.safetensors")}
    others = sum(path.stat().st_size for path in folder.glob("*.safetensors") if path != last)
    source = json.loads((output / "manifest.json").read_text())["source"]
    checked = {file["name"]: file.get("checked", True) for file in source["files"]}
    # What the killed run has read of a stream is not read again, and so not held against a digest.
    for path in folder.glob("*.safetensors"):
        is_whole = sent[path] >= path.stat().st_size
        assert checked[path.name] == (is_whole or not way), path.name
    assert checked[last.name]
    verify(output / f"{MODEL}-Q8_0.gguf", NAME, options.part(api.VerifyOptions))
    # Of the other shards, headers and the tensors that a block shares with a missing one.
    assert sum(sent.values()) < last.stat().st_size + others // 2


def test_an_interrupted_conversion_ends_at_once(hub: HubServer, tmp_path: Path) -> None:
    hub.faults.waiting.append(Fault("GET storage", times=3))
    hub.faults.waiting.append(Fault("GET storage", delay=600, times=None))
    arguments = command(tmp_path / "out", ["--stream"])
    environ = environment(hub.url, tmp_path / "home")
    process = subprocess.Popen(arguments, env=environ, process_group=0, stderr=subprocess.PIPE)
    wait_for((tmp_path / "out" / f"{MODEL}-Q8_0.gguf.journal").is_file)
    process.send_signal(signal.SIGINT)
    # Far less than what the hub keeps it waiting for.
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Interrupted." in err
