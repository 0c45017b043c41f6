"""What stops a run, what it leaves behind, and what is refused before it begins."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from quantize.checkpoints.checkpoint import Checkpoint
from quantize.errors import CheckpointError, DiskError, UsageError
from quantize.execution import memory, needs_of, run
from quantize.options.run import RunOptions
from quantize.planning.plan import tasks
from quantize.progress import NullProgress
from quantize.storage.sink import PartialFile, partial_path
from tests.support.execution_models import (
    NUMPY,
    OUTPUTS,
    Watcher,
    convert,
    expected,
    plan_of,
)
from tests.support.stopping import Failing


def refuse() -> None:
    raise CheckpointError("truncated-file", "the file ends too early", where="model.safetensors")


def break_off() -> None:
    raise DiskError("unreadable", "cannot be read", where="model.safetensors")


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def vanish() -> None:
    os._exit(9)


@pytest.mark.usefixtures("small_tasks")
@pytest.mark.parametrize("jobs", [1, 3])
def test_the_first_error_is_the_one_shown(source: Checkpoint, tmp_path: Path, jobs: int) -> None:
    failing = Failing(source, refuse)
    with pytest.raises(CheckpointError) as caught:
        run(
            [plan_of(OUTPUTS, "Q8_0")], failing, [tmp_path / "out.gguf"],
            RunOptions(jobs=jobs), NullProgress(),
        )  # fmt: skip
    assert caught.value.where == "model.safetensors"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_tasks")
def test_an_error_ends_the_others(source: Checkpoint, tmp_path: Path) -> None:
    """Of many tasks, only those in flight are done after the first one fails."""
    failing = Failing(source, refuse, "embed")
    with pytest.raises(CheckpointError):
        run(
            [plan_of(OUTPUTS, "Q8_0")], failing, [tmp_path / "out.gguf"],
            RunOptions(jobs=2), NullProgress(),
        )  # fmt: skip
    assert failing.reads <= 4


@pytest.mark.usefixtures("small_tasks", "processes")
@pytest.mark.parametrize(
    ("action", "code"),
    [(refuse, "truncated-file"), (break_off, "unreadable"), (vanish, "worker-lost")],
)
def test_errors_of_processes_arrive(
    source: Checkpoint, tmp_path: Path, action: Callable[[], None], code: str
) -> None:
    with pytest.raises((CheckpointError, DiskError)) as caught:
        run(
            [plan_of(OUTPUTS, "Q8_0")], Failing(source, action), [tmp_path / "out.gguf"],
            RunOptions(jobs=2, kernels="numpy"), NullProgress(),
        )  # fmt: skip
    assert caught.value.code == code
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.usefixtures("small_tasks")
@pytest.mark.parametrize(
    ("action", "raised"), [(break_off, DiskError), (interrupt, KeyboardInterrupt)]
)
def test_what_can_be_continued_stays(
    source: Checkpoint, tmp_path: Path, action: Callable[[], None], raised: type[BaseException]
) -> None:
    plan = plan_of(OUTPUTS, "Q8_0")
    path = tmp_path / "out.gguf"
    with pytest.raises(raised):
        run([plan], Failing(source, action), [path], NUMPY, NullProgress())
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "out.gguf.journal", "out.gguf.partial"
    ]  # fmt: skip
    watcher = Watcher()
    run([plan], source, [path], NUMPY, watcher)
    assert path.read_bytes() == expected(plan, source)
    assert any(note.startswith("continues where it stopped") for note in watcher.notes)
    assert watcher.done == watcher.total


# Memory and disk.


def test_a_bound_that_nothing_fits_in_is_refused(source: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        convert(plan_of(OUTPUTS, "Q8_0"), source, tmp_path, RunOptions(max_memory=1_000_000))
    assert caught.value.code == "too-little-memory"
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("--max-memory ")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def _a_small_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else the test process has loaded."""
    monkeypatch.setattr(memory, "_resident", lambda: 100_000_000)


@pytest.mark.usefixtures("_a_small_program")
def test_the_bound_decides_how_many_workers_there_are() -> None:
    def jobs(bound: int) -> int:
        wanted = RunOptions(jobs=64, max_memory=bound, kernels="numpy")
        return memory.limits_of(wanted, 10**9).jobs

    found = [jobs(bound) for bound in (400_000_000, 800_000_000, 1_600_000_000, 64_000_000_000)]
    assert found == sorted(found)
    assert found[0] < found[1] < found[2] < found[3] == 64


def test_a_tensor_that_is_needed_whole_must_fit(
    source: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(OUTPUTS, "Q8_0")
    limits = memory.limits_of(NUMPY, plan.n_params)
    (whole,) = [
        t for t in tasks(plan, limits.step) if plan.tensors[t.index].transform.needs_whole_tensor
    ]
    tensor = plan.tensors[whole.index]
    needed = memory.task_memory(source, tensor, whole.rows, limits.step)
    # Source, result and what is between them, in float32.
    assert needed >= 3 * 4 * 512 * 256
    monkeypatch.setattr(
        "quantize.execution.engine.limits_of",
        lambda *_: memory.Limits(1, limits.step, needed - 1, 10**8, processes=False),
    )
    with pytest.raises(UsageError) as caught:
        convert(plan, source, tmp_path)
    assert caught.value.where == tensor.name
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_a_small_program")
def test_needs_are_known_from_the_plan() -> None:
    plans = [plan_of(OUTPUTS, type) for type in ("F32", "Q8_0")]
    needs = needs_of(plans, NUMPY)
    assert needs.disk == sum(plan.size for plan in plans)
    assert 0 < needs.memory <= 256_000_000 + 128_000_000


def test_room_for_all_files_is_asked_for_before_the_first(
    source: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = [plan_of(OUTPUTS, type) for type in ("F32", "Q8_0")]
    room = sum(plan.size for plan in plans) - 1
    usage = type("Usage", (), {"free": room})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(DiskError) as caught:
        run(plans, source, [tmp_path / "a.gguf", tmp_path / "b.gguf"], NUMPY, NullProgress())
    assert caught.value.code == "disk-full"
    assert list(tmp_path.iterdir()) == []


def test_unknown_kernels_and_workers_are_refused(source: Checkpoint, tmp_path: Path) -> None:
    for wrong in (RunOptions(kernels="fpga"), RunOptions(jobs=0)):
        with pytest.raises(UsageError):
            convert(plan_of(OUTPUTS, "Q8_0"), source, tmp_path, wrong)


def test_a_second_file_that_cannot_be_made_leaves_no_first(
    source: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = [plan_of(OUTPUTS, type) for type in ("F32", "Q8_0")]
    take_room = PartialFile._take_room

    def fill_up(file: PartialFile) -> None:
        if file.final.name == "b.gguf":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        take_room(file)

    monkeypatch.setattr(PartialFile, "_take_room", fill_up)
    with pytest.raises(DiskError) as caught:
        run(plans, source, [tmp_path / "a.gguf", tmp_path / "b.gguf"], NUMPY, NullProgress())
    assert caught.value.code == "disk-full"
    assert list(tmp_path.iterdir()) == []


def test_what_stands_in_the_way_of_the_partial_file_is_told(
    source: Checkpoint, tmp_path: Path
) -> None:
    partial_path(tmp_path / "out.gguf").mkdir()
    with pytest.raises(DiskError) as caught:
        convert(plan_of(OUTPUTS, "F32"), source, tmp_path)
    assert caught.value.where == str(partial_path(tmp_path / "out.gguf"))
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf.partial"]
