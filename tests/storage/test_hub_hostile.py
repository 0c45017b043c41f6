"""A hostile mirror: nothing that it says leads out of the cache, or the token to another host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli_runner import Cli
from tests.support.hub_client import connect
from tests.support.hub_server import Fault, HubServer, Repo

TOKEN = "hf_secret_token"  # noqa: S105 (of our own Hub)
VICTIM = "what was there"
CONFIG = b'{"architectures": ["LlamaForCausalLM"]}'


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer({"org/model": Repo({"config.json": CONFIG})}) as server:
        connect(monkeypatch, server.url, tmp_path / "home")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """What lies above the cache; afterwards it is as it was."""
    victim = tmp_path / "victim"
    victim.write_text(VICTIM, "utf-8")
    yield victim
    assert victim.read_text("utf-8") == VICTIM
    assert {path.name for path in tmp_path.iterdir()} <= {"victim", "home"}


@pytest.mark.parametrize("sha", ["../../../../victim", "main", "", 7, None, "a" * 39, ["a" * 40]])
def test_a_commit_is_40_hex_digits(sha: object, hub: HubServer, cli: Cli, outside: Path) -> None:
    body = json.dumps({"id": "org/model", "sha": sha, "siblings": []}).encode()
    hub.faults.waiting.append(Fault("GET hub /api/models/org/model/revision/", body=body))
    ran = cli("plan", "org/model")
    assert ran.code == 6
    assert "error[not-the-hub]" in ran.err


@pytest.mark.parametrize("revision", ["../../../victim", "a/../b", "/etc", "a\\b", "a//b", "a:b"])
def test_a_revision_stays_in_the_cache(
    revision: str, hub: HubServer, cli: Cli, outside: Path
) -> None:
    ran = cli("plan", f"org/model@{revision}")
    assert ran.code == 2
    assert "error[no-such-revision]" in ran.err
    assert hub.requests == []


@pytest.mark.parametrize(
    "path",
    ["../../../victim.json", "/etc/x.json", "a/../../x.json", "a//x.json", "C:\\x.json",
     "a\nb.json", "..\\x.json", "x:y.json"],
)  # fmt: skip
def test_a_file_stays_in_its_folder(path: str, hub: HubServer, cli: Cli, outside: Path) -> None:
    entry = {"type": "file", "path": path, "size": 3, "oid": "a" * 40}
    hub.faults.waiting.append(Fault("GET hub .*/tree/", body=json.dumps([entry]).encode()))
    ran = cli("plan", "org/model")
    assert ran.code == 4
    assert "error[unsafe-file-name]" in ran.err


@pytest.mark.parametrize(
    "facts",
    [{"size": -1}, {"size": 1 << 63}, {"size": 1.5}, {"oid": "../x"}, {"size": "9"},
     {"lfs": {"oid": "../x", "size": 3, "pointerSize": 9}}],
    ids=str,
)  # fmt: skip
def test_sizes_and_digests_have_their_form(
    facts: dict[str, object], hub: HubServer, cli: Cli, outside: Path
) -> None:
    entry = {"type": "file", "path": "config.json", "size": 3, "oid": "a" * 40} | facts
    hub.faults.waiting.append(Fault("GET hub .*/tree/", body=json.dumps([entry]).encode()))
    ran = cli("plan", "org/model")
    assert ran.code == 6
    assert "error[not-the-hub]" in ran.err


@pytest.mark.parametrize(
    "headers",
    [{"ETag": '"../../../../victim"'}, {"X-Repo-Commit": "../../../victim"},
     {"X-Linked-Etag": '"..\\\\victim"'}, {"ETag": '".."'}],
    ids=str,
)  # fmt: skip
def test_headers_that_become_paths_have_their_form(
    headers: dict[str, str], hub: HubServer, cli: Cli, outside: Path
) -> None:
    hub.faults.waiting.append(Fault("HEAD hub .*/config.json", headers=headers, times=None))
    ran = cli("plan", "org/model")
    assert ran.code == 6
    assert "error[not-the-hub]" in ran.err


def test_a_next_page_elsewhere_does_not_get_the_token(
    hub: HubServer, cli: Cli, outside: Path
) -> None:
    with HubServer({}) as other:
        link = {"Link": f'<{other.url}/api/more>; rel="next"'}
        hub.faults.waiting.append(Fault("GET hub .*/tree/", headers=link))
        ran = cli("plan", "org/model")
        assert other.requests == []
    assert TOKEN in hub.tokens_seen("hub")
    assert ran.code == 6
    assert "error[token-elsewhere]" in ran.err
    assert TOKEN not in ran.err


@pytest.mark.parametrize(
    "body", [b"<html>Please log in</html>", b"[]", b'"x"', b"7", b"null", b'{"a": 1}', b"\xff", b""]
)
@pytest.mark.parametrize("request_", ["/api/models/org/model/revision/", ".*/tree/"])
def test_what_a_captive_portal_answers_is_no_crash(
    request_: str, body: bytes, hub: HubServer, cli: Cli, outside: Path
) -> None:
    hub.faults.waiting.append(Fault(f"GET hub {request_}", body=body, times=None))
    ran = cli("plan", "org/model")
    assert ran.code in {4, 6}
    assert "error[" in ran.err
