"""Nothing that a person meets is a traceback, and no exit code says that output arrived if not."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from quantize import api
from quantize.cli import output
from quantize.cli.net import TRACEBACK, caught
from quantize.errors import EXIT_CLOSED_PIPE, EXIT_DISK, EXIT_INTERNAL
from tests.support.cli_runner import Cli


def broken(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_a_mistake_is_one_error_with_a_way_to_report_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "plan", broken(KeyError("nobody thought of this")))
    ran = cli("plan", "x", "-t", "Q8_0")
    assert ran.code == EXIT_INTERNAL
    assert ran.err.startswith("error[bug]: this is a mistake in quantize\n")
    assert "KeyError: 'nobody thought of this'" in ran.err
    assert "please report it" in ran.err
    assert "Traceback" not in ran.err
    assert cli("plan", "x", "-t", "Q8_0", "--json").event("error")["exit_code"] == EXIT_INTERNAL


def test_the_report_has_the_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "plan", broken(ZeroDivisionError("x")))
    monkeypatch.setenv(TRACEBACK, "1")
    assert "Traceback" in cli("plan", "x", "-t", "Q8_0").err


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (PermissionError(errno.EACCES, "denied", "/a/b"), "system-error", EXIT_DISK),
        (OSError(errno.EMFILE, "Too many open files", "/a/b"), "system-error", EXIT_DISK),
        (OSError(errno.ENOSPC, "full"), "disk-full", EXIT_DISK),
        (MemoryError(), "out-of-memory", EXIT_DISK),
        (RecursionError("deep"), "bug", EXIT_INTERNAL),
    ],
    ids=["permission", "descriptors", "disk", "memory", "depth"],
)
def test_what_the_system_refuses_is_no_mistake(
    error: Exception, code: str, exit_code: int, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "plan", broken(error))
    ran = cli("plan", "x", "-t", "Q8_0")
    assert f"error[{code}]" in ran.err
    assert ran.code == exit_code


def test_a_mistake_is_where_it_was_made() -> None:
    try:
        api.plan(7, api.Options())  # type: ignore[arg-type] # no caller of the command line can
    except TypeError as error:
        where = caught(error).where
    assert where is not None
    assert where.startswith("quantize/sources/opening.py:")


def run(shell: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program in a shell, whose `$@` it is."""
    return subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", shell, "bash", sys.executable, "-m", "quantize",
         *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_output_to_a_full_disk_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python meets it where it writes out what is left, when the command has ended."""
    full = [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), None]
    monkeypatch.setattr(output, "flush_output", lambda: full.pop(0))
    assert output.finish(0) == EXIT_DISK
    shown = capsys.readouterr().err
    assert "error[disk-full]" in shown
    assert "standard output" in shown


def test_a_reader_that_goes_away_ends_the_program_without_a_word() -> None:
    done = run('"$@" | true', "types", "--json")
    assert (done.returncode, done.stderr) == (EXIT_CLOSED_PIPE, "")


def test_closed_outputs_are_as_good_as_nowhere() -> None:
    """What is opened later does not get what was meant for them."""
    for closed in (">&-", "2>&-", "<&-", ">&- 2>&- <&-"):
        done = run(f'"$@" {closed}', "types")
        assert (done.returncode, done.stderr) == (0, "")
