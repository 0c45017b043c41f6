"""Repositories of the Hub: a small one on the loopback interface, the real client against it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quantize.errors import QuantizeError
from quantize.storage.hub.downloads import fetch_snapshot
from quantize.storage.hub.repository import parse_hub_id
from tests.support.hub_client import connect
from tests.support.hub_server import HubServer, Repo

FILES = {
    "config.json": b"{}",
    "model.safetensors": bytes(range(256)) * 100,
    "tokenizer.model": b"spm",
    "chat_template.jinja": b"{{ messages }}",
    "1_Pooling/config.json": b"{}",
    "README.md": b"# card",
    "LICENSE.txt": b"license",
    "pytorch_model.bin": b"the same weights",
    "consolidated.safetensors": b"the same weights",
    "onnx/model.onnx": b"the same weights",
    "onnx/config.json": b"{}",
    "original/params.json": b"{}",
    "model.Q4_K_M.gguf": b"the same weights",
    "picture.png": b"png",
}
NEEDED = {
    "config.json", "model.safetensors", "tokenizer.model", "chat_template.jinja",
    "1_Pooling/config.json", "README.md", "LICENSE.txt",
}  # fmt: skip
# In Mistral's own format alone.
MISTRAL = {
    "params.json": b"{}",
    "consolidated.safetensors": b"weights",
    "tekken.json": b"{}",
    "tokenizer.model.v3": b"spm",
}
GOOD, OTHER, THIRD = "hf_good", "hf_other", "hf_third"
Fetch = Callable[..., dict[str, Any]]


@pytest.fixture
def repos() -> dict[str, Repo]:
    return {
        "org/model": Repo(FILES, branches=("main", "refs/pr/1")),
        "org/mistral": Repo(MISTRAL),
        "org/gated": Repo(FILES, gated=True, tokens=(GOOD,)),
        "org/private": Repo(FILES, private=True, tokens=(GOOD,)),
        "org/broken": Repo(FILES, status=503),
        "org/forbidden": Repo(FILES, status=403),
        "org/cut": Repo(FILES, cut_after=100),
    }


@pytest.fixture
def hub(repos: dict[str, Repo]) -> Iterator[HubServer]:
    with HubServer(repos) as server:
        yield server


@pytest.fixture
def fetch(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    def run(
        repo: str,
        revision: str | None = None,
        token: str | None = None,
        *,
        env_token: str | None = None,
        url: str = hub.url,
        offline: bool = False,
    ) -> dict[str, Any]:
        connect(monkeypatch, url, tmp_path / "home", offline=offline)
        if env_token is not None:
            monkeypatch.setenv("HF_TOKEN", env_token)
        try:
            found = fetch_snapshot(repo, revision, token)
        except QuantizeError as error:
            names = ("code", "message", "where", "reason", "hint", "exit_code")
            return {name: getattr(error, name) for name in names}
        return {"path": str(found.path), "commit": found.commit}

    return run


def names_in(folder: str) -> set[str]:
    return {
        path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()
    }


def test_a_repository_is_fetched_with_what_a_conversion_needs_and_nothing_else(
    fetch: Fetch, repos: dict[str, Repo]
) -> None:
    found = fetch("org/model")
    assert found["commit"] == repos["org/model"].commit
    assert names_in(found["path"]) == NEEDED
    for name in NEEDED:
        assert (Path(found["path"]) / name).read_bytes() == FILES[name]


def test_weights_in_mistrals_own_format_are_fetched_where_there_are_no_others(
    fetch: Fetch,
) -> None:
    assert names_in(fetch("org/mistral")["path"]) == {*MISTRAL}


def test_what_was_fetched_serves_without_a_network_too(fetch: Fetch, hub: HubServer) -> None:
    first = fetch("org/model")
    hub.log.clear()
    assert fetch("org/model", offline=True) == first
    assert hub.log == []


def test_a_second_fetch_downloads_no_file_again(fetch: Fetch, hub: HubServer) -> None:
    first = fetch("org/model")
    hub.log.clear()
    assert fetch("org/model") == first
    assert not [request for request in hub.log if "/resolve/" in request]


def test_a_revision_is_fetched_by_its_name(fetch: Fetch, repos: dict[str, Repo]) -> None:
    assert fetch("org/model", "refs/pr/1")["commit"] == repos["org/model"].commit
    commit = repos["org/model"].commit
    assert fetch("org/model", commit)["commit"] == commit


def test_a_revision_that_does_not_exist_is_a_usage_error(fetch: Fetch) -> None:
    found = fetch("org/model", "v9")
    assert (found["code"], found["exit_code"]) == ("no-such-revision", 2)
    assert "'v9'" in found["message"]


@pytest.mark.parametrize("repo", ["org/none", "org/private"])
def test_a_repository_that_does_not_exist_or_hides_may_need_a_token(
    fetch: Fetch, hub: HubServer, repo: str, tmp_path: Path
) -> None:
    found = fetch(repo)
    assert (found["code"], found["exit_code"]) == ("no-such-repository", 5)
    assert found["where"] == repo
    assert found["reason"] == f"no token was sent: none in HF_TOKEN and {tmp_path / 'home/token'}"
    assert f"{hub.url}/{repo}" in found["hint"]
    other = fetch(repo, token=OTHER)
    assert (other["code"], other["exit_code"]) == ("no-such-repository", 5)
    assert other["reason"] == "the token given on the command line was sent"


def test_a_name_that_no_repository_can_have_is_a_usage_error(fetch: Fetch, hub: HubServer) -> None:
    found = fetch("org/two--dashes")
    assert (found["code"], found["exit_code"]) == ("bad-repository-name", 2)
    assert hub.log == []


def test_a_token_that_a_login_left_is_sent(fetch: Fetch, hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").write_text(GOOD)
    assert names_in(fetch("org/private")["path"]) == NEEDED
    assert hub.tokens_seen("hub") == {GOOD}
    assert hub.tokens_seen("storage") == set()


def test_a_gated_repository_says_what_to_accept_and_where_a_token_was_looked_for(
    fetch: Fetch, hub: HubServer, tmp_path: Path
) -> None:
    found = fetch("org/gated")
    assert (found["code"], found["exit_code"]) == ("gated-repository", 5)
    assert f"{hub.url}/org/gated" in found["hint"]
    token_file = tmp_path / "home" / "token"
    assert found["reason"] == f"no token was sent: none in HF_TOKEN and {token_file}"
    found = fetch("org/gated", env_token=OTHER)
    assert found["reason"] == f"a token found in HF_TOKEN and {token_file} was sent"
    found = fetch("org/gated", token=THIRD)
    assert found["reason"] == "the token given on the command line was sent"
    assert THIRD not in json.dumps(found)


def test_a_token_opens_gated_and_private_repositories(fetch: Fetch) -> None:
    assert names_in(fetch("org/gated", token=GOOD)["path"]) == NEEDED
    assert names_in(fetch("org/private", env_token=GOOD)["path"]) == NEEDED


def test_a_refused_token_is_an_authentication_error(fetch: Fetch) -> None:
    found = fetch("org/forbidden")
    assert (found["code"], found["exit_code"]) == ("token-refused", 5)
    assert "403" in found["message"]


def test_a_hub_in_trouble_is_a_network_error(fetch: Fetch) -> None:
    found = fetch("org/broken")
    assert (found["code"], found["exit_code"]) == ("hub-error", 6)
    assert "503" in found["message"]


def test_a_connection_that_breaks_is_a_network_error(fetch: Fetch) -> None:
    found = fetch("org/cut")
    assert (found["code"], found["exit_code"]) == ("no-connection", 6)
    assert found["reason"]


def test_no_network_is_a_network_error(fetch: Fetch) -> None:
    # Port 9 (discard) on the loopback interface: nobody listens.
    found = fetch("org/model", url="http://127.0.0.1:9")
    assert (found["code"], found["exit_code"]) == ("no-connection", 6)


def test_without_a_network_the_cache_serves(fetch: Fetch) -> None:
    first = fetch("org/model")
    assert fetch("org/model", url="http://127.0.0.1:9") == first


def test_offline_mode_is_respected_and_named(fetch: Fetch, hub: HubServer) -> None:
    found = fetch("org/model", offline=True)
    assert (found["code"], found["exit_code"]) == ("offline", 6)
    assert "HF_HUB_OFFLINE" in found["message"]
    assert hub.log == []


def test_a_cache_that_cannot_be_written_is_a_disk_error(fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a folder is needed")
    found = fetch("org/model")
    assert found["exit_code"] == 7


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("org/name", ("org/name", None)),
        ("meta-llama/Llama-3.2-1B_x", ("meta-llama/Llama-3.2-1B_x", None)),
        ("org/name@main", ("org/name", "main")),
        ("org/name@refs/pr/12", ("org/name", "refs/pr/12")),
        ("name", None),
        ("./folder/name", None),
        ("../name", None),
        ("/org/name", None),
        ("org/name/more", None),
        ("org/", None),
        ("org/name@", None),
        ("org/model.gguf", None),
        ("C:\\models\\llama", None),
        ("org/na me", None),
        ("", None),
    ],
)
def test_hub_ids_are_told_from_paths(text: str, found: tuple[str, str | None] | None) -> None:
    assert parse_hub_id(text) == found
