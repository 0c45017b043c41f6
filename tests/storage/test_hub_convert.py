"""A repository of the Hub becomes the file that its folder becomes, whatever the network does."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quantize import api
from quantize.errors import QuantizeError
from quantize.execution import memory
from quantize.storage.hub import blocks as hub_blocks
from tests.storage.conftest import MODEL, NAME
from tests.support.cli_runner import Cli, Ran
from tests.support.hub_client import connect
from tests.support.hub_faults import storm
from tests.support.hub_server import Fault, HubServer, Repo

TOKEN = "hf_secret_token"  # noqa: S105 (of our own Hub)
OTHERS = {
    "pytorch_model.bin": b"the same weights",
    "model.fp16.safetensors": b"the same weights",
    "original/consolidated.safetensors": b"the same weights",
    "onnx/model.onnx": b"the same weights",
}
DOWNLOAD: list[str] = []
STREAM = ["--stream"]
both_ways = pytest.mark.parametrize("way", [DOWNLOAD, STREAM], ids=["download", "stream"])


@pytest.fixture
def repo(folder: Path) -> Repo:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return Repo({**files, **OTHERS}, gated=True, tokens=(TOKEN,))


@pytest.fixture
def hub(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    # Blocks as small as the shards need them, so that files have many.
    monkeypatch.setattr(hub_blocks, "_SMALLEST_BLOCK", 1 << 16)
    monkeypatch.setattr(hub_blocks, "_LARGEST_BLOCK", 1 << 16)
    with HubServer({NAME: repo}) as server:
        connect(monkeypatch, server.url, tmp_path / "home")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


@pytest.fixture
def convert(cli: Cli, tmp_path: Path) -> Callable[..., Ran]:
    def run(*arguments: str) -> Ran:
        usual = ("-t", "Q8_0", "-o", str(tmp_path / "out"), "--kernels", "numpy")
        return cli("convert", NAME, *usual, *arguments)

    return run


def digest(tmp_path: Path) -> str:
    file = tmp_path / "out" / f"{MODEL}-Q8_0.gguf"
    return hashlib.sha256(file.read_bytes()).hexdigest()


def weights_sent(hub: HubServer) -> int:
    return sum(request.sent for request in hub.requests if request.host == "storage")


def weights_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


@both_ways
def test_the_file_is_that_of_the_folder(
    way: list[str], hub: HubServer, convert: Callable[..., Ran], expected: str, tmp_path: Path
) -> None:
    assert convert(*way).code == 0
    assert digest(tmp_path) == expected


@both_ways
def test_no_byte_is_fetched_that_is_not_needed_or_twice(
    way: list[str], hub: HubServer, folder: Path, convert: Callable[..., Ran]
) -> None:
    assert convert(*way).code == 0
    fetched = {request.path.rpartition("/")[2] for request in hub.requests if request.sent}
    assert not fetched & {Path(name).name for name in OTHERS}
    heads = 100_000 * len(list(folder.glob("*.safetensors")))
    assert weights_sent(hub) <= weights_size(folder) + heads


@both_ways
def test_worker_processes_fetch_nothing_themselves(
    way: list[str],
    hub: HubServer,
    folder: Path,
    convert: Callable[..., Ran],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "WORTH_PROCESSES", 0)
    assert convert(*way, "--jobs", "2").code == 0
    assert digest(tmp_path) == expected
    heads = 100_000 * len(list(folder.glob("*.safetensors")))
    assert weights_sent(hub) <= weights_size(folder) + heads
    text = (tmp_path / "out" / "manifest.json").read_text()
    assert '"checked"' not in text, "all digests were held against the bytes"


@both_ways
def test_worker_processes_meet_the_errors_of_the_hub(
    way: list[str],
    hub: HubServer,
    repo: Repo,
    convert: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "WORTH_PROCESSES", 0)
    spoil(repo)
    ran = convert(*way, "--jobs", "2")
    assert ran.code == 4
    assert "error[file-changed]" in ran.err


@both_ways
def test_a_storm_of_faults_changes_no_byte(
    way: list[str], hub: HubServer, convert: Callable[..., Ran], expected: str, tmp_path: Path
) -> None:
    hub.faults.waiting += storm(0.15)
    ran = convert(*way)
    assert ran.code == 0, ran.err
    assert digest(tmp_path) == expected
    assert any(request.status in {0, 429, 500, 503} for request in hub.requests)


def test_a_stream_leaves_nothing_on_the_disk_but_its_output(
    hub: HubServer, convert: Callable[..., Ran], tmp_path: Path
) -> None:
    assert convert(*STREAM).code == 0
    kept = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert not [path for path in kept if path.read_bytes()[8:9] == b"{" and path.suffix != ".json"]
    assert sum(path.stat().st_size for path in kept) < 1_000_000 + small_size(hub)


def spoil(repo: Repo) -> str:
    """The Hub lists the digest of the true bytes, and its storage has others, of the last shard."""
    files = dict(repo.at("main") or {})
    name = max(name for name in files if name.startswith("model-"))
    true = files[name]
    data = bytearray(true.read(0, true.size))
    data[-1] ^= 1
    files[name] = type(true)(bytes(data), sha256=true.sha256)
    repo.history[repo.commit] = files
    return name


def small_size(hub: HubServer) -> int:
    files = hub.repos[NAME].at("main") or {}
    return sum(file.size for name, file in files.items() if not name.endswith(".safetensors"))


def test_a_second_conversion_downloads_nothing(hub: HubServer, convert: Callable[..., Ran]) -> None:
    convert()
    hub.requests.clear()
    assert convert().code == 0
    assert not [request for request in hub.requests if "/resolve/" in request.path]
    assert weights_sent(hub) == 0


def test_what_is_in_the_cache_is_converted_offline(
    hub: HubServer,
    convert: Callable[..., Ran],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect(monkeypatch, hub.url, tmp_path / "home", offline=True)
    ran = convert()
    assert ran.code == 6
    assert "error[offline]" in ran.err
    connect(monkeypatch, hub.url, tmp_path / "home")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    convert("--dry-run")
    connect(monkeypatch, hub.url, tmp_path / "home", offline=True)
    ran = convert()
    assert ran.code in {4, 6}, "headers alone are no checkpoint"
    connect(monkeypatch, hub.url, tmp_path / "home")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    convert()
    connect(monkeypatch, hub.url, tmp_path / "home", offline=True)
    hub.requests.clear()
    assert convert("--fresh").code == 0
    assert digest(tmp_path) == expected
    assert not hub.requests


@both_ways
def test_the_manifest_names_commit_files_and_digests(
    way: list[str],
    hub: HubServer,
    folder: Path,
    repo: Repo,
    convert: Callable[..., Ran],
    tmp_path: Path,
) -> None:
    convert(*way)
    source = json.loads((tmp_path / "out" / "manifest.json").read_text())["source"]
    assert (source["repo"], source["commit"]) == (NAME, repo.commit)
    assert {"config.json", "tokenizer.json"} < {file["name"] for file in source["files"]}
    assert {file["name"] for file in source["files"]} <= {path.name for path in folder.iterdir()}
    for file in source["files"]:
        data = (folder / file["name"]).read_bytes()
        assert file["size"] == len(data)
        assert file["sha256"] == hashlib.sha256(data).hexdigest()


def test_all_ways_write_the_same_manifest(
    hub: HubServer, convert: Callable[..., Ran], tmp_path: Path
) -> None:
    path = tmp_path / "out" / "manifest.json"
    convert(*STREAM)
    streamed = path.read_bytes()
    convert()
    assert path.read_bytes() == streamed


@both_ways
def test_the_token_reaches_the_hub_and_nobody_else(
    way: list[str],
    hub: HubServer,
    convert: Callable[..., Ran],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    ran = convert(*way)
    assert caplog.records, "the libraries below do write to logs"
    assert TOKEN not in caplog.text
    assert hub.tokens_seen("hub") == {TOKEN}
    assert hub.tokens_seen("storage") == set()
    assert TOKEN not in ran.out + ran.err
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


@both_ways
def test_weights_that_are_not_the_listed_ones_are_refused(
    way: list[str], hub: HubServer, repo: Repo, convert: Callable[..., Ran]
) -> None:
    name = spoil(repo)
    ran = convert(*way)
    assert ran.code == 4
    assert "error[file-changed]" in ran.err
    assert name in ran.err


def test_a_file_that_changes_between_two_requests_is_refused(
    hub: HubServer, repo: Repo, convert: Callable[..., Ran]
) -> None:
    hub.faults.waiting.append(Fault("GET storage", times=6))
    hub.faults.waiting.append(Fault("GET storage", headers={"ETag": '"another"'}, times=None))
    ran = convert(*STREAM)
    assert ran.code == 4
    assert "error[file-changed]" in ran.err
    assert "it changed between two requests" in ran.err


def test_a_signature_that_expires_is_replaced(
    hub: HubServer, convert: Callable[..., Ran], expected: str, tmp_path: Path
) -> None:
    hub.faults.waiting += [Fault("GET storage", status=403, times=4, probability=0.5)]
    assert convert(*STREAM).code == 0
    assert digest(tmp_path) == expected


def test_a_server_without_ranges_is_named(hub: HubServer, convert: Callable[..., Ran]) -> None:
    hub.faults.waiting.append(Fault("GET storage", whole=True, times=None))
    ran = convert(*STREAM)
    assert ran.code == 6
    assert "error[no-ranges]" in ran.err


@both_ways
def test_a_connection_that_stays_dead_is_a_network_error(
    way: list[str], hub: HubServer, convert: Callable[..., Ran], expected: str, tmp_path: Path
) -> None:
    hub.faults.waiting.append(Fault("GET storage", times=3))
    dead = Fault("GET storage", drop=True, times=None)
    hub.faults.waiting.append(dead)
    ran = convert(*way)
    assert ran.code == 6
    assert "error[" in ran.err
    hub.faults.waiting.remove(dead)
    assert convert(*way).code == 0
    assert digest(tmp_path) == expected


def test_a_stream_of_a_folder_makes_no_sense(cli: Cli, folder: Path, tmp_path: Path) -> None:
    ran = cli("convert", str(folder), "--stream", "-o", str(tmp_path))
    assert ran.code == 2
    assert "error[nothing-to-stream]" in ran.err


def test_an_error_of_a_stream_reaches_the_caller_of_the_api(hub: HubServer, tmp_path: Path) -> None:
    hub.faults.waiting.append(Fault("GET storage", times=3))
    hub.faults.waiting.append(Fault("GET storage", status=404, times=None))
    options = api.Options(types=("Q8_0",), output=tmp_path, stream=True, kernels="numpy")
    with pytest.raises(QuantizeError) as raised:
        api.convert(NAME, options)
    assert raised.value.code == "connection-lost"


def test_a_file_is_verified_against_a_part_of_its_repository(
    hub: HubServer, folder: Path, cli: Cli, convert: Callable[..., Ran], tmp_path: Path
) -> None:
    convert(*STREAM)
    hub.requests.clear()
    file = str(tmp_path / "out" / f"{MODEL}-Q8_0.gguf")
    arguments = ("--source", NAME, "--kernels", "numpy", "--json")
    assert cli("verify", file, *arguments, "--sample", "2").event("verified")["compared"] == 2
    assert weights_sent(hub) < weights_size(folder) // 2
    assert cli("verify", file, *arguments).event("verified")["compared"] > 10
