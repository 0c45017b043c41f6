"""What a person is told at a closed door of the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli_runner import Cli
from tests.support.hub_client import connect
from tests.support.hub_server import HubServer, Repo

TOKEN = "hf_secret_token"  # noqa: S105 (of our own Hub)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer({}) as server:
        connect(monkeypatch, server.url, tmp_path / "home")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


ERRORS: list[tuple[dict[str, Any], str, int]] = [
    ({"gated": True}, "gated-repository", 5),
    ({"private": True}, "no-such-repository", 5),
    ({"status": 403}, "token-refused", 5),
    ({"status": 429}, "hub-error", 6),
    ({"status": 500}, "hub-error", 6),
]


@pytest.mark.parametrize(("facts", "reference", "code"), ERRORS)
def test_a_refusal_says_what_where_and_why(
    facts: dict[str, Any],
    reference: str,
    code: int,
    hub: HubServer,
    cli: Cli,
    tmp_path: Path,
) -> None:
    hub.repos["org/other"] = Repo({"config.json": b"{}"}, **facts)
    ran = cli("convert", "org/other", "-o", str(tmp_path))
    assert ran.code == code
    assert f"error[{reference}]" in ran.err
    assert "org/other" in ran.err
    assert TOKEN not in ran.err


@pytest.mark.parametrize(
    ("facts", "what", "page"),
    [
        (
            {"gated": True},
            "error[gated-repository]: the authors want you to accept their terms first",
            "try    accept them at {url}/org/other, then run `hf auth login`",
        ),
        (
            {"private": True},
            "error[no-such-repository]: no such repository on the Hub, or a private one",
            "try    look at {url}/org/other; if a folder is meant, check its path",
        ),
    ],
)
def test_a_closed_door_is_three_lines_and_its_name(
    facts: dict[str, Any],
    what: str,
    page: str,
    hub: HubServer,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    hub.repos["org/other"] = Repo({"config.json": b"{}"}, **facts)
    lines = cli("plan", "org/other").err.splitlines()
    why = f"why    no token was sent: none in HF_TOKEN and {tmp_path / 'home' / 'token'}"
    assert [line.strip() for line in lines] == [
        what, "where  org/other", why, page.format(url=hub.url)
    ]  # fmt: skip


def test_a_token_given_by_hand_wins(hub: HubServer, cli: Cli, tmp_path: Path) -> None:
    hub.repos["org/other"] = Repo({"config.json": b"{}"}, gated=True, tokens=("hf_mine",))
    hub.requests.clear()
    ran = cli("plan", "org/other", "--token", "hf_mine")
    assert hub.tokens_seen("hub") == {"hf_mine"}
    assert "hf_mine" not in ran.err + ran.out
