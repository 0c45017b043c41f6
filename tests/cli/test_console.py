"""Text of a file never reaches the terminal as a command."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest

from quantize.cli.console import SafeConsole, shown
from quantize.cli.progress import BarProgress
from quantize.formats.kv import string
from tests.support.cli_runner import Cli
from tests.support.gguf_files import KVS, write_gguf

# Clears the screen, sets the title, in 7 and in 8 bits; turns text around.
EVIL = "a\x1b[2Jb\x1b]0;mine\x07c\x9b2Jd\x90e\u202ef\rg\x08h\x7fi"
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    rows = {name: np.ones((2, 32), np.float32) for name in ("token_embd.weight", f"{EVIL}.weight")}
    texts = [string("general.description", EVIL), string(f"general.{EVIL}", EVIL)]
    return write_gguf(tmp_path / "hostile-F32.gguf", rows, [*KVS, *texts])


@pytest.mark.parametrize(
    "command",
    [
        ["inspect", "{}"],
        ["inspect", "{}", "--all"],
        ["plan", "{}", "-t", "Q8_0", "--all"],
        ["compare", "{}", "{}"],
        ["verify", "{}"],
        ["doctor", "{}"],
        ["convert", "{}", "-t", "Q8_0", "-o", "{}/no-such-folder"],
        ["modelfile", "{}", "--output", "-"],
    ],
    ids=" ".join,
)
def test_no_view_prints_what_a_file_holds_as_it_is(
    command: list[str], hostile: Path, cli: Cli
) -> None:
    ran = cli(*(word.format(hostile) for word in command))
    assert ran.out or ran.err
    assert not RAW.search(ran.out + ran.err)


def test_a_hostile_architecture_is_named_without_harm(tmp_path: Path, cli: Cli) -> None:
    rows = {"token_embd.weight": np.ones((2, 32), np.float32)}
    file = write_gguf(tmp_path / "x.gguf", rows, [string("general.architecture", EVIL)])
    for command in (["inspect"], ["plan"], ["doctor"]):
        ran = cli(*command, str(file))
        assert "a" in ran.out + ran.err
        assert not RAW.search(ran.out + ran.err)


def test_a_bar_writes_its_own_sequences_only() -> None:
    screen = io.StringIO()
    console = SafeConsole(file=screen, force_terminal=True, width=80, highlight=False)
    with_bar = BarProgress(console)
    with_bar.start("convert", 10)
    with_bar.advance(5, EVIL)
    with_bar.note(EVIL)
    with_bar.close()
    text = screen.getvalue()
    assert "\x1b[" in text
    for harm in ("\x1b[2Jb", "\x1b]0", "\x9b", "\x90", "\u202e"):
        assert harm not in text


def test_what_is_shown_keeps_lines_tabs_and_other_languages() -> None:
    text = "a\tb\nc é 漢字 🙂"
    assert shown(text) == text
    assert shown("\x1b[2J") == "\N{REPLACEMENT CHARACTER}[2J"
