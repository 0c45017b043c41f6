"""Adapters from the Hub: merged, written alone, recorded, and found again by `verify`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli_runner import Cli
from tests.support.hub_client import connect
from tests.support.hub_faults import storm
from tests.support.hub_server import Content, HubServer, Repo

TOKEN = "hf_secret_token"  # noqa: S105 (of our own Hub)
BASE, ADAPTER = "org/lora-base", "me/lora-plain"
NUMPY = ("--kernels", "numpy")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def adapter(encodings: Path, tmp_path: Path) -> Path:
    """A folder with an adapter that names its base as the Hub does."""
    folder = Path(shutil.copytree(encodings / "lora-plain", tmp_path / "lora-plain"))
    settings = json.loads((folder / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = BASE
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture
def hub(
    adapter: Path, encodings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HubServer]:
    files = contents(adapter) | {
        "optimizer.pt": b"x",
        "checkpoint-5/adapter_model.safetensors": b"x",
    }
    repos = {
        BASE: Repo(contents(encodings / "lora-base")),
        ADAPTER: Repo(files, gated=True, tokens=(TOKEN,)),
    }
    with HubServer(repos) as server:
        connect(monkeypatch, server.url, tmp_path / "home")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def convert(cli: Cli, output: Path, *arguments: str) -> Path:
    ran = cli("convert", *arguments, "-o", str(output), "-q", *NUMPY)
    assert ran.code == 0, ran.err
    assert TOKEN not in ran.out + ran.err
    (file,) = output.glob("*.gguf")
    return file


@pytest.mark.parametrize("way", [[], ["--stream"]], ids=["download", "stream"])
def test_an_adapter_of_the_hub_is_merged_as_from_a_folder(
    way: list[str], cli: Cli, hub: HubServer, adapter: Path, tmp_path: Path
) -> None:
    hub.faults.waiting += storm(0.1)
    usual = (BASE, "-t", "Q8_0", "--name", "x")
    remote = convert(cli, tmp_path / "remote", *usual, "--lora", f"{ADAPTER}=0.5", *way)
    local = convert(cli, tmp_path / "local", *usual, "--lora", f"{adapter}=0.5")
    # Behind the key-values, which name the adapter's repository.
    size = json.loads((tmp_path / "local" / "manifest.json").read_text())["outputs"][0]
    weights = local.stat().st_size - min(tensor["offset"] for tensor in size["tensors"])
    assert remote.read_bytes()[-weights:] == local.read_bytes()[-weights:]
    fetched = {request.path.rpartition("/")[2] for request in hub.requests}
    assert "optimizer.pt" not in fetched
    assert hub.tokens_seen("storage") == set()


def test_the_manifest_names_the_commit_and_verify_makes_it_again(
    cli: Cli, hub: HubServer, tmp_path: Path
) -> None:
    file = convert(cli, tmp_path, BASE, "-t", "Q8_0", "--lora", f"{ADAPTER}=0.5")
    source = json.loads((tmp_path / "manifest.json").read_text())["source"]
    assert (source["repo"], source["commit"]) == (BASE, hub.repos[BASE].commit)
    (merged,) = source["adapters"]
    assert (merged["repo"], merged["commit"]) == (ADAPTER, hub.repos[ADAPTER].commit)
    assert merged["scale"] == 0.5
    (weights,) = (one for one in merged["files"] if one["name"] == "adapter_model.safetensors")
    files = hub.repos[ADAPTER].at("main") or {}
    assert weights["sha256"] == files["adapter_model.safetensors"].sha256
    # Both repositories move on; what the file was made from is still there.
    for repo in (BASE, ADAPTER):
        hub.repos[repo].write({"config.json": Content(b"{}")})
    ran = cli("verify", str(file), "--source", BASE, "--json", *NUMPY)
    assert ran.code == 0, ran.err
    assert ran.event("verified")["compared"] > 5


def test_an_adapter_is_written_alone_with_the_config_of_its_base(
    cli: Cli, hub: HubServer, adapter: Path, encodings: Path, tmp_path: Path
) -> None:
    remote = convert(cli, tmp_path / "remote", ADAPTER, "--adapter-only")
    base = ("--base", str(encodings / "lora-base"))
    local = convert(cli, tmp_path / "local", str(adapter), "--adapter-only", *base)
    assert remote.read_bytes() == local.read_bytes()
    ran = cli("verify", str(remote), "--source", ADAPTER, "--json", *NUMPY)
    assert ran.code == 0, ran.err
    assert ran.event("verified")["compared"] > 5


def test_an_adapter_in_the_cache_needs_no_network(
    cli: Cli, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (BASE, "-t", "Q8_0", "--lora", ADAPTER)
    first = convert(cli, tmp_path / "first", *arguments).read_bytes()
    connect(monkeypatch, hub.url, tmp_path / "home", offline=True)
    hub.requests.clear()
    assert convert(cli, tmp_path / "second", *arguments).read_bytes() == first
    assert not hub.requests


def test_a_gated_adapter_is_told_like_any_repository(
    cli: Cli, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    ran = cli("convert", BASE, "--lora", ADAPTER, "-o", str(tmp_path / "out"))
    assert ran.code == 5
    assert "error[gated-repository]" in ran.err
    assert f"{hub.url}/{ADAPTER}" in ran.err


def test_an_adapter_of_a_folder_has_to_be_given_again(
    cli: Cli, hub: HubServer, adapter: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    file = convert(cli, output, BASE, "-t", "Q8_0", "--lora", f"{adapter}=0.5")
    verify = ("verify", str(file), "--source", BASE, *NUMPY)
    ran = cli(*verify)
    assert ran.code == 2
    assert "error[merged-source]" in ran.err
    assert "lora-plain" in ran.err
    assert cli(*verify, "--lora", f"{adapter}=0.5").code == 0
    other = cli(*verify, "--lora", f"{adapter}=0.25")
    assert other.code == 8
    assert "error[not-from-source]" in other.err


def test_an_adapter_that_was_never_merged_is_refused(
    cli: Cli, hub: HubServer, adapter: Path, tmp_path: Path
) -> None:
    file = convert(cli, tmp_path / "out", BASE, "-t", "Q8_0")
    ran = cli("verify", str(file), "--source", BASE, "--lora", str(adapter), *NUMPY)
    assert ran.code == 2
    assert "merged: none" in ran.err
