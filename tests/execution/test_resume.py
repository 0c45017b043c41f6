"""A run that was killed, stopped or out of room is continued, and gives the same file."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize.checkpoints.checkpoint import Checkpoint
from quantize.errors import DiskError
from quantize.execution import memory, run
from quantize.execution.journal import Journal, journal_path
from quantize.execution.ranges import Done
from quantize.options.run import RunOptions
from quantize.planning.plan import Plan, Task
from quantize.storage.sink import PartialFile, partial_path
from tests.support.execution_models import (
    OUTPUTS,
    Watcher,
    expected,
    plan_of,
    write_checkpoint,
)
from tests.support.paths import ROOT
from tests.support.stopping import Stopping

FACTS = {"version": "1", "plan": "p", "source": "s"}

# Finished rows.


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 40), st.integers(0, 40))), st.data())
def test_ranges_say_what_a_set_of_rows_says(
    spans: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    done = Done([40, 40])
    rows: set[tuple[int, int]] = set()
    for index, a, b in spans:
        task = Task(index, min(a, b), max(a, b))
        done.add(task)
        rows |= {(index, row) for row in range(task.lo, task.hi)}
    lo, hi = sorted((data.draw(st.integers(0, 40)), data.draw(st.integers(0, 40))))
    missing = [row for part in done.missing(Task(0, lo, hi)) for row in range(part.lo, part.hi)]
    assert missing == [row for row in range(lo, hi) if (0, row) not in rows]
    for index in (0, 1):
        assert done.complete(index) == all((index, row) in rows for row in range(40))
    listed = [(t.index, row) for t in done.tasks() for row in range(t.lo, t.hi)]
    assert listed == sorted(rows)


@given(*[st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)))] * 2)
def test_what_is_done_in_both(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    both: list[Done] = []
    for spans in (a, b):
        done = Done([30])
        for span in spans:
            done.add(Task(0, min(span), max(span)))
        both.append(done)
    listed = [{r for t in done.tasks() for r in range(t.lo, t.hi)} for done in both]
    common = both[0].common(both[1])
    assert {r for t in common.tasks() for r in range(t.lo, t.hi)} == listed[0] & listed[1]


def test_rows_that_do_not_exist_are_refused() -> None:
    for task in (Task(1, 0, 1), Task(0, 0, 11), Task(0, -1, 2), Task(0, 5, 4), Task(-1, 0, 1)):
        with pytest.raises(ValueError, match="no such rows"):
            Done([10]).add(task)


# The journal.


def write_journal(final: Path, tasks: Sequence[Task]) -> bytes:
    partial_path(final).write_bytes(b"data")
    journal = Journal(final)
    journal.clear()
    journal.begin(FACTS)
    for task in tasks:
        journal.record([(task, None)])
    journal.close(keep=True)
    return journal_path(final).read_bytes()


def read_journal(
    final: Path, facts: dict[str, str] = FACTS
) -> tuple[list[Task] | None, str | None]:
    journal = Journal(final)
    done, reason = journal.resume(facts, [100, 100])
    journal.close(keep=True)
    return (None if done is None else list(done.tasks())), reason


def test_a_journal_cut_off_anywhere_says_nothing_false(tmp_path: Path) -> None:
    final = tmp_path / "x.gguf"
    tasks = [Task(0, 0, 10), Task(1, 5, 9), Task(0, 50, 60)]
    whole = write_journal(final, tasks)
    ends = [end for end in range(len(whole) + 1) if whole[:end].endswith(b"\n")]
    for cut in range(len(whole) + 1):
        journal_path(final).write_bytes(whole[:cut])
        complete = sum(end <= cut for end in ends) - 1
        found, reason = read_journal(final)
        assert reason is None
        assert found == (None if complete < 0 else sorted(tasks[:complete], key=key))
        # What is written next stands on a line of its own.
        assert not complete >= 0 or journal_path(final).read_bytes() == whole[: ends[complete]]


def key(task: Task) -> tuple[int, int]:
    return task.index, task.lo


@pytest.mark.parametrize("garbage", [b"\0\0\0\n", b"[[0,1]]\n", b"[[0,0,101]]\n", b"7\n", b"{\n"])
def test_what_makes_no_sense_ends_the_journal(tmp_path: Path, garbage: bytes) -> None:
    final = tmp_path / "x.gguf"
    whole = write_journal(final, [Task(0, 0, 10)])
    journal_path(final).write_bytes(whole + garbage + b"[[0,10,20]]\n")
    assert read_journal(final) == ([Task(0, 0, 10)], None)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("plan", "the plan is another one"),
        ("source", "the checkpoint has changed"),
        ("version", "another version of quantize began the file"),
    ],
)
def test_a_journal_of_something_else_is_not_continued(
    tmp_path: Path, name: str, reason: str
) -> None:
    final = tmp_path / "x.gguf"
    write_journal(final, [Task(0, 0, 10)])
    assert read_journal(final, {**FACTS, name: "other"}) == (None, reason)


def test_data_is_durable_before_the_journal_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = tmp_path / "x.gguf"
    write_journal(final, [])
    names = {path.stat().st_ino: path.name for path in (journal_path(final), partial_path(final))}
    events: list[str] = []
    real_write, real_sync = os.write, os.fsync

    def write(fd: int, data: bytes) -> int:
        events.append("write")
        return real_write(fd, data)

    def sync(fd: int) -> None:
        events.append(names[os.fstat(fd).st_ino])
        real_sync(fd)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "fsync", sync)
    journal = Journal(final)
    journal.record([(Task(0, 0, 1), None)])
    journal.close(keep=True)
    assert events == ["x.gguf.partial", "write", "x.gguf.journal"]


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "x.gguf")
    with pytest.raises(DiskError) as caught:
        Journal(tmp_path / "x.gguf")
    assert caught.value.code == "output-in-use"
    journal.close(keep=False)
    Journal(tmp_path / "x.gguf").close(keep=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_to_is_not_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system says the same of both, by different calls."""

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DiskError) as caught:
        Journal(tmp_path / "x.gguf")
    assert caught.value.code == "not-writable"


# Whole runs.


def begin(source: Checkpoint, plans: Sequence[Plan], paths: Sequence[Path]) -> int:
    """Run until something fails; how many elements were read."""
    stopping = Stopping(source, 12)
    with pytest.raises(DiskError):
        run(plans, stopping, paths, ONE, Watcher(), identity="a")
    return stopping.elements


ONE = RunOptions(jobs=1, kernels="numpy")


@pytest.mark.usefixtures("small_tasks")
@pytest.mark.parametrize("step", [1 << 10, 1 << 14, 1 << 20])
def test_only_what_is_missing_is_done_again(
    source: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Also when the second run cuts its tasks in another way."""
    plan, path = plan_of(OUTPUTS, "Q8_0"), tmp_path / "out.gguf"
    undisturbed = Stopping(source)
    run([plan], undisturbed, [tmp_path / "other.gguf"], ONE, Watcher())
    first = begin(source, [plan], [path])
    monkeypatch.setattr(memory, "LARGEST_STEP", step)
    second, watcher = Stopping(source), Watcher()
    run([plan], second, [path], ONE, watcher, identity="a")
    assert path.read_bytes() == expected(plan, source)
    # Of the first run's work only what was in flight when it ended is lost.
    assert second.elements <= undisturbed.elements - first + 3 * (1 << 14)
    assert watcher.notes[0].startswith("continues where it stopped")
    assert watcher.done == watcher.total


@pytest.mark.usefixtures("small_tasks")
def test_fresh_forgets_what_was_done(source: Checkpoint, tmp_path: Path) -> None:
    plan, path = plan_of(OUTPUTS, "Q8_0"), tmp_path / "out.gguf"
    undisturbed = Stopping(source)
    run([plan], undisturbed, [tmp_path / "other.gguf"], ONE, Watcher())
    begin(source, [plan], [path])
    second, watcher = Stopping(source), Watcher()
    fresh = RunOptions(jobs=1, kernels="numpy", fresh=True)
    run([plan], second, [path], fresh, watcher, identity="a")
    assert second.elements == undisturbed.elements
    assert watcher.notes == []
    assert path.read_bytes() == expected(plan, source)


@pytest.mark.usefixtures("small_tasks")
@pytest.mark.parametrize(
    ("type", "identity", "reason"),
    [("Q8_0", "b", "the checkpoint has changed"), ("Q4_K", "a", "the plan is another one")],
)
def test_another_source_or_plan_starts_over_and_says_why(
    source: Checkpoint, tmp_path: Path, type: str, identity: str, reason: str
) -> None:
    path = tmp_path / "out.gguf"
    begin(source, [plan_of(OUTPUTS, "Q8_0")], [path])
    if type != "Q8_0":
        # Of the same size, as a plan that differs in a transform would be.
        os.truncate(partial_path(path), plan_of(OUTPUTS, type).size)
    watcher = Watcher()
    run([plan_of(OUTPUTS, type)], source, [path], ONE, watcher, identity=identity)
    assert watcher.notes == [f"out.gguf is started again: {reason}"]
    assert path.read_bytes() == expected(plan_of(OUTPUTS, type), source)


@pytest.mark.usefixtures("small_tasks")
def test_files_of_several_types_are_continued_together(source: Checkpoint, tmp_path: Path) -> None:
    plans = [plan_of(OUTPUTS, type) for type in ("Q8_0", "Q4_K")]
    paths = [tmp_path / "a.gguf", tmp_path / "b.gguf"]
    begin(source, plans, paths)
    run(plans, source, paths, ONE, Watcher(), identity="a")
    assert [path.read_bytes() for path in paths] == [expected(plan, source) for plan in plans]


@pytest.mark.usefixtures("small_tasks")
def test_a_journal_without_its_data_is_not_believed(source: Checkpoint, tmp_path: Path) -> None:
    plan, path = plan_of(OUTPUTS, "Q8_0"), tmp_path / "out.gguf"
    begin(source, [plan], [path])
    partial_path(path).unlink()
    run([plan], source, [path], ONE, Watcher(), identity="a")
    assert path.read_bytes() == expected(plan, source)


@pytest.mark.usefixtures("small_tasks")
def test_a_disk_that_fills_up_midway_leaves_what_can_be_continued(
    source: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room is taken in advance where a file system can do that; not all can."""
    plan, path = plan_of(OUTPUTS, "Q8_0"), tmp_path / "out.gguf"
    room = [plan.size // 2]
    write_at = PartialFile._write_at

    def fill_up(file: PartialFile, offset: int, view: memoryview) -> int:
        if len(view) > room[0]:
            raise OSError(28, os.strerror(28))
        room[0] -= len(view)
        return write_at(file, offset, view)

    with monkeypatch.context() as patch:
        patch.setattr(PartialFile, "_write_at", fill_up)
        with pytest.raises(DiskError) as caught:
            run([plan], source, [path], ONE, Watcher())
    assert (caught.value.code, caught.value.exit_code) == ("disk-full", 7)
    watcher = Watcher()
    run([plan], source, [path], ONE, watcher)
    assert watcher.notes[0].startswith("continues where it stopped")
    assert path.read_bytes() == expected(plan, source)


# Processes that are killed.


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three million weights: some tenths of a second of work."""
    values = np.random.default_rng(1).standard_normal((6, 1024, 512), dtype=np.float32)
    tensors = {f"t{index}": values[index] for index in range(6)}
    return write_checkpoint(tmp_path_factory.mktemp("larger"), tensors)


def start(checkpoint: Path, output: Path, jobs: int) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "tests.support.execution_program",
        checkpoint,
        output,
        str(jobs),
    ]
    return subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def follow(program: subprocess.Popen[str], lines: int) -> None:
    """Wait until the program has said so many lines, or has ended."""
    assert program.stdout is not None
    for _ in range(lines):
        program.stdout.readline()


def finish(checkpoint: Path, output: Path, jobs: int) -> list[str]:
    program = start(checkpoint, output, jobs)
    out, errors = program.communicate(timeout=60)
    assert program.returncode == 0, errors
    return out.splitlines()


@pytest.fixture(scope="module")
def undisturbed(larger: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the program says when nobody disturbs it: the tasks, and the digest."""
    return finish(larger, tmp_path_factory.mktemp("undisturbed") / "out.gguf", 1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_at_any_moment_it_gives_the_same_file(
    larger: Path, undisturbed: list[str], tmp_path: Path, jobs: int, seed: int
) -> None:
    moments = random.Random(seed)  # noqa: S311 - moments, no secrets
    output = tmp_path / "out.gguf"
    for _ in range(3):
        program = start(larger, output, jobs)
        follow(program, moments.randrange(len(undisturbed)))
        time.sleep(moments.random() * 0.02)
        program.kill()
        program.communicate(timeout=60)
    assert finish(larger, output, jobs)[-1] == undisturbed[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_stops_and_the_same_command_continues(
    larger: Path, undisturbed: list[str], tmp_path: Path, jobs: int
) -> None:
    output = tmp_path / "out.gguf"
    program = start(larger, output, jobs)
    follow(program, len(undisturbed) // 2)
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=60)
    assert program.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in errors
    assert not output.exists()
    said = finish(larger, output, jobs)
    assert any(line.startswith("continues where it stopped") for line in said)
    assert said[-1] == undisturbed[-1]
