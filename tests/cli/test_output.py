"""Help, documentation, the three watchers, and the small texts of tables."""

from __future__ import annotations

import io
import itertools
import os
import pty
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.console import Console

from quantize.cli import COMMANDS
from quantize.cli.events.base import Event, KVEvent, json_line
from quantize.cli.help import EXAMPLES, EXIT_CODES
from quantize.cli.progress import BarProgress, EventProgress, LineProgress
from quantize.cli.views.tables import grouped, ranges, shape_text
from quantize.progress import Progress
from quantize.tensors import Shape
from tests.support.cli_runner import ESCAPE, Cli, check_event
from tests.support.paths import ROOT


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Tensor(NamedTuple):
    name: str
    shape: Shape = (2, 4)
    type: str = "F32"
    nbytes: int = 32


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )


def test_help_names_the_commands_and_exit_codes(cli: Cli) -> None:
    ran = cli("--help")
    assert ran.code == 0
    for name in COMMANDS:
        assert f" {name} " in ran.out
    for code, meaning in EXIT_CODES.items():
        assert re.search(rf" {code} +{re.escape(meaning)}", ran.out)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(cli: Cli, name: str) -> None:
    ran = cli(name, "--help")
    assert ran.code == 0
    assert EXAMPLES[name]
    for example in EXAMPLES[name]:
        assert example.line in ran.out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_are_accepted(cli: Cli, name: str) -> None:
    """What they name need not exist here, but no option or argument may be wrong."""
    for line, _ in EXAMPLES[name]:
        program, *arguments = line.split()
        assert program == "quantize"
        assert "Usage:" not in cli(*arguments, "--help").err


def test_help_is_quick() -> None:
    """Processor time, because the wall clock measures the neighbours, too."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert python("-m", "quantize", "--help").returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 0.5


def test_help_does_not_load_what_only_work_needs() -> None:
    program = "import sys, quantize.cli as c; c.build_app(); print(*sys.modules)"
    loaded = set(python("-c", program).stdout.split())
    assert "quantize.cli.commands.convert" in loaded
    assert not loaded & {"numpy", "quantize.api", "gguf", "huggingface_hub", "jinja2", "numba"}


def test_the_version(cli: Cli) -> None:
    ran = cli("--version")
    assert re.fullmatch(r"quantize \d+\.\d+\.\d+\n", ran.out)


def test_the_documentation_is_fresh() -> None:
    done = python("scripts/write_docs.py", "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_terminal_gets_a_bar_and_colors(minilm: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-m", "quantize", "convert", str(minilm), "-o", str(tmp_path)],
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env=environment,
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:
        pass  # how Linux says that nobody has the terminal open any more
    os.close(ours)
    assert process.wait() == 0
    text = shown.decode()
    assert f"{ESCAPE}[" in text
    assert "convert" in text
    assert "%" in text
    assert " of 90.3 MB" in text
    assert "ollama create" in text
    # The cursor was hidden for the bar, and is back at the end.
    assert text.rindex(f"{ESCAPE}[?25h") > text.rindex(f"{ESCAPE}[?25l")


def at_work(progress: Progress, clock: Clock, seconds: float, *parts: int) -> None:
    progress.start("convert", 1000)
    for index, nbytes in enumerate(parts):
        clock.now += seconds
        progress.advance(nbytes, f"blk.{index}")
    progress.finish()


def lines_of(seconds: float, *parts: int) -> list[str]:
    clock, file = Clock(), io.StringIO()
    at_work(LineProgress(Console(file=file, width=200), clock), clock, seconds, *parts)
    return file.getvalue().splitlines()


def test_a_log_gets_a_line_at_each_tenth() -> None:
    first, *middle, last = lines_of(0.01, *[1] * 1000)
    assert first == "convert: 1.00 kB"
    assert [line.split(",")[0] for line in middle] == [
        f"convert: {percent}%" for percent in range(10, 101, 10)
    ]
    assert middle[0] == "convert: 10%, 100 B, 1.0 s, blk.99"
    assert last == "convert: done in 10 s"


def test_a_slow_stage_gets_a_line_every_ten_seconds() -> None:
    _, *middle, _ = lines_of(4.0, *[1] * 9)
    assert middle == ["convert: 0%, 3 B, 12 s, blk.2", "convert: 0%, 6 B, 24 s, blk.5",
                      "convert: 0%, 9 B, 36 s, blk.8"]  # fmt: skip


def test_a_program_gets_at_most_two_events_a_second() -> None:
    clock = Clock()
    events: list[Event] = []
    at_work(EventProgress(events.append, clock), clock, 0.125, *[100] * 10)
    for event in events:
        check_event(dict(event))
    assert [event["event"] for event in events] == ["start", "progress", "progress", "finish"]
    assert events[1] == {
        "event": "progress",
        "stage": "convert",
        "done": 400,
        "total": 1000,
        "item": "blk.3",
    }
    assert events[-1] == {"event": "finish", "stage": "convert", "done": 1000}


def test_a_bar_fits_its_terminal() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, height=20, force_terminal=True, color_system=None)
    bar = BarProgress(console)
    bar.start("convert", 5_000_000_000)
    bar.advance(1_234_567_890, "blk.7." + "x" * 100)
    bar.note("a note")
    bar.finish()
    text = re.sub(rf"{ESCAPE}\[[?\d;]*[A-Za-z]", "", file.getvalue())
    shown = re.split(r"[\r\n]+", text)
    assert any("25% 1.23 GB of 5.00 GB" in line for line in shown)
    assert any(line.startswith("  blk.7.xxx") for line in shown)
    assert "a note" in [line.rstrip() for line in shown]
    assert max(map(len, shown)) <= 80


def test_stages_beside_each_other_share_the_terminal() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True, color_system=None, _environ={})
    convert = BarProgress(console)
    convert.start("convert", 1000)
    download = convert.alongside("download", 2000)
    for _ in range(5):
        convert.advance(100, "blk.0")
        download.advance(200, "model.safetensors")
    convert.finish()
    download.advance(500, "model.safetensors")
    download.finish()
    convert.start("compare", 4000)
    convert.advance(1000, "blk.1")
    convert.close()
    text = re.sub(rf"{ESCAPE}\[[?\d;]*[A-Za-z]", "", file.getvalue())
    shown = [line.strip() for line in re.split(r"[\r\n]+", text)]
    assert any("convert" in one and "download" in two for one, two in itertools.pairwise(shown))
    assert any("compare" in one and "1.00 kB of 4.00 kB" in one for one in shown)
    assert [one for one in shown if one][-1] == "blk.1"


def test_stages_beside_each_other_are_told_apart_in_logs_and_events() -> None:
    file = io.StringIO()
    lines = LineProgress(Console(file=file, width=200), Clock())
    lines.start("convert", 10)
    beside = lines.alongside("download", 20)
    beside.advance(10, "x")
    lines.advance(10, "y")
    beside.finish()
    assert [line.split(",")[0] for line in file.getvalue().splitlines()] == [
        "convert: 10 B", "download: 20 B", "download: 50%", "convert: 100%",
        "download: done in 0.0 s",
    ]  # fmt: skip
    events: list[Event] = []
    EventProgress(events.append).alongside("download", 20).finish()
    assert events == [
        {"event": "start", "stage": "download", "total": 20},
        {"event": "finish", "stage": "download", "done": 0},
    ]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([3], "3"), ([0, 1, 2], "0-2"), ([0, 2, 3, 7], "0, 2-3, 7")],
)
def test_ranges(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text


def test_tensors_alike_in_all_blocks_are_one_row() -> None:
    groups = grouped(
        [
            Tensor("output.weight"),
            Tensor("blk.0.a.weight"),
            Tensor("blk.1.a.weight"),
            Tensor("blk.2.a.weight", type="F16"),
            Tensor("blk.3.a.weight"),
            Tensor("x.0.e.0.w"),
            Tensor("x.0.e.1.w"),
        ]
    )
    assert [(group.pattern, group.type, group.blocks, group.nbytes) for group in groups] == [
        ("output.weight", "F32", "", 32),
        ("blk.*.a.weight", "F32", "0-1, 3", 96),
        ("blk.2.a.weight", "F16", "", 32),
        ("x.*.e.*.w", "F32", "2 of them", 64),
    ]


def test_shapes() -> None:
    assert [shape_text(shape) for shape in [(), (3,), (2, 3)]] == ["scalar", "3", "2 x 3"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"caf\xc3\xa9", '"caf\\u00e9"'),
        (b"\xff", '"\\\\xff"'),
        (float("nan"), '"NaN"'),
        (float("-inf"), '"-Infinity"'),
        ((1, 2.5, True), "[1, 2.5, true]"),
    ],
)
def test_values_that_json_lacks(value: object, text: str) -> None:
    event = KVEvent(event="kv", key="k", type="t", value=value)
    assert json_line(event) == f'{{"event": "kv", "key": "k", "type": "t", "value": {text}}}\n'


def test_the_readme_has_the_exit_codes_and_only_real_links() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    rows = [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    assert "\n".join(rows) in text
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert targets
    assert [target for target in targets if not (ROOT / target).is_file()] == []


def test_the_readme_names_real_commands_and_targets() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert set(re.findall(r"^ +(?:\S*/)?quantize (\S+)", text, re.MULTILINE)) == set(COMMANDS)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"^ +make (\S+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
