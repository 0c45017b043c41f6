"""Every kind of failure: what is printed, where, and the exit code."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from quantize import api, errors
from quantize.cli.help import EXIT_CODES
from tests.support.cli_runner import Cli, Ran
from tests.support.paths import ROOT

CLASSES = {
    errors.UsageError: 2,
    errors.UnsupportedError: 3,
    errors.CheckpointError: 4,
    errors.AuthError: 5,
    errors.NetworkError: 6,
    errors.DiskError: 7,
    errors.VerificationError: 8,
    errors.InternalError: 70,
}


def test_every_class_is_tested_and_every_code_explained() -> None:
    assert set(CLASSES) == set(errors.QuantizeError.__subclasses__())
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert set(EXIT_CODES) == codes


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("mode", [[], ["--json"]])
def test_an_error_says_what_where_why_and_what_next(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, kind: type[errors.QuantizeError], mode: list[str]
) -> None:
    def fail() -> None:
        raise kind("some-thing", "[x] is wrong", where="a.json: b", reason="because", hint="try y")

    monkeypatch.setattr(api, "list_types", fail)
    ran = cli("types", *mode)
    assert ran.code == CLASSES[kind]
    assert ran.err == (
        "error[some-thing]: [x] is wrong\n"
        "  where  a.json: b\n"
        "  why    because\n"
        "  try    try y\n"
    )  # fmt: skip
    if not mode:
        assert ran.out == ""
        return
    assert ran.events == [
        {
            "event": "error",
            "code": "some-thing",
            "message": "[x] is wrong",
            "where": "a.json: b",
            "reason": "because",
            "hint": "try y",
            "exit_code": CLASSES[kind],
        }
    ]


def test_what_is_not_known_is_not_printed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise errors.DiskError("no-room", "the disk is full")

    monkeypatch.setattr(api, "list_types", fail)
    assert cli("types").err == "error[no-room]: the disk is full\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["convert"],
        ["convert", "x", "--no-such-option"],
        ["convert", "x", "--jobs", "0"],
        ["convert", "x", "--kernels", "fortran"],
        ["convert", "x", "--json", "--quiet"],
    ],
)
def test_usage(cli: Cli, arguments: list[str]) -> None:
    ran = cli(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert "Usage: quantize" in ran.err


def test_a_source_that_is_nothing(cli: Cli) -> None:
    ran = cli("plan", "./no/such/folder")
    assert ran.code == 2
    assert "error[no-such-source]: './no/such/folder' is neither a folder" in ran.err


def test_a_size_that_is_none(cli: Cli) -> None:
    ran = cli("plan", "x", "--max-memory", "much")
    assert (ran.code, ran.out) == (2, "")
    assert "error[bad-size]: 'much' is not a size" in ran.err


def test_a_bad_type_is_refused_before_anything_is_read(cli: Cli) -> None:
    """The source does not even exist. docs/errors.md shows this very error."""
    ran = cli("convert", "./no/such/folder", "-t", "Q8_0", "-t", "Q4_K_X")
    assert ran.code == 3
    assert "Q4_K_M" in ran.err
    shown = (ROOT / "docs" / "errors.md").read_text("utf-8")
    assert "".join(f"    {line}\n" for line in ran.err.splitlines()) in shown


@pytest.fixture
def broken(checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of a checkpoint, to be broken."""
    folder = tmp_path / "broken"
    shutil.copytree(checkpoint("llama31-bpe"), folder)
    return folder


def test_an_unknown_architecture(cli: Cli, broken: Path) -> None:
    config = json.loads((broken / "config.json").read_text("utf-8"))
    config["architectures"] = ["LlamaForCausalML"]
    (broken / "config.json").write_text(json.dumps(config), encoding="utf-8")
    ran = cli("plan", str(broken))
    assert ran.code == 3
    assert "error[unknown-architecture]: 'LlamaForCausalML'" in ran.err
    assert "--arch LlamaForCausalLM" in ran.err
    assert cli("plan", str(broken), "--arch", "LlamaForCausalLM").code == 0


def test_a_checkpoint_that_is_cut_off(cli: Cli, broken: Path) -> None:
    (weights,) = broken.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    ran = cli("convert", str(broken), "-o", str(broken.parent / "out"))
    assert ran.code == 4
    assert f"where  {weights.name}" in ran.err
    assert not list(broken.parent.rglob("*.gguf"))


def test_a_folder_that_cannot_be_made(cli: Cli, broken: Path) -> None:
    blocked = broken.parent / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    ran = cli("convert", str(broken), "-t", "Q8_0", "-o", str(blocked / "out"))
    assert ran.code == 7
    assert str(blocked) in ran.err


def interrupted(source: Path, output: Path, *arguments: str) -> Ran:
    """A conversion that gets the terminal's Ctrl-C in its first third."""
    command = [sys.executable, "-m", "quantize", "convert", str(source), "-o", str(output)]
    process = subprocess.Popen(
        [*command, "--kernels", "numpy", "--jobs", "1", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    # The line that a stage begins with is printed before any work is done.
    first = (process.stdout if "--json" in arguments else process.stderr).readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    if "--json" in arguments:
        return Ran(process.returncode, first + out, err)
    return Ran(process.returncode, out, first + err)


@pytest.mark.parametrize("mode", [[], ["--json"]])
def test_an_interrupted_conversion_says_how_to_go_on(
    cli: Cli, minilm: Path, tmp_path: Path, mode: list[str]
) -> None:
    ran = interrupted(minilm, tmp_path, "--type", "Q5_K_M", *mode)
    assert ran.code == 130
    assert ran.err.endswith(
        "Interrupted. Nothing incomplete has a final name. Run it again to continue.\n"
    )
    assert "Traceback" not in ran.err
    left = [path.name for path in tmp_path.iterdir()]
    assert not [name for name in left if name.endswith((".gguf", "Modelfile", ".json"))]
    if mode:
        assert ran.events[-1] == {"event": "interrupted"}
        return
    assert cli("convert", str(minilm), "-q", "-t", "Q5_K_M", "-o", str(tmp_path)).code == 0
    fresh = tmp_path / "fresh"
    assert cli("convert", str(minilm), "-q", "-t", "Q5_K_M", "-o", str(fresh)).code == 0
    (continued,) = tmp_path.glob("*.gguf")
    assert continued.read_bytes() == (fresh / continued.name).read_bytes()
