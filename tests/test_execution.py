"""The engine writes what the plan says, however the work is cut, ordered and shared."""

from __future__ import annotations

import hashlib
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quantize.architectures.transforms import Scale
from quantize.checkpoints.checkpoint import Checkpoint
from quantize.errors import CheckpointError, DiskError, UsageError
from quantize.execution import Settings, Written, memory, needs_of, run
from quantize.execution.worker import Worker
from quantize.planning.outputs import Output
from quantize.planning.plan import Plan, tasks
from quantize.progress import NullProgress
from quantize.quantizers import QUANTIZERS
from quantize.storage.sink import partial_path
from tests.execution_models import (
    OUTPUTS,
    Watcher,
    expected,
    open_checkpoint,
    plan_of,
    weights,
    write_checkpoint,
)

NUMPY = Settings(jobs=1, kernels="numpy")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(write_checkpoint(tmp_path_factory.mktemp("model"), weights()))


@pytest.fixture
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tasks in a small model."""
    monkeypatch.setattr(memory, "LARGEST_STEP", 1 << 14)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes for however little work."""
    monkeypatch.setattr(memory, "WORTH_PROCESSES", 0)


def convert(plan: Plan, source: Checkpoint, folder: Path, settings: Settings = NUMPY) -> Written:
    (written,) = run([plan], source, [folder / "out.gguf"], settings, NullProgress())
    return written


@pytest.mark.parametrize("type", ["F32", "F16", "BF16", "Q8_0", "Q4_K"])
def test_the_file_is_what_the_plan_says(source: Checkpoint, tmp_path: Path, type: str) -> None:
    plan = plan_of(OUTPUTS, type)
    written = convert(plan, source, tmp_path)
    data = written.path.read_bytes()
    assert data == expected(plan, source)
    assert written.size == plan.size == len(data)
    assert written.sha256 == hashlib.sha256(data).hexdigest()
    assert written.tensors == {
        tensor.name: hashlib.sha256(data[tensor.offset :][: tensor.nbytes]).hexdigest()
        for tensor in plan.tensors
    }


def test_only_the_finished_file_stays(source: Checkpoint, tmp_path: Path) -> None:
    convert(plan_of(OUTPUTS, "Q8_0"), source, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]


def test_several_types_read_the_source_once(source: Checkpoint, tmp_path: Path) -> None:
    plans = [plan_of(OUTPUTS, type) for type in ("Q4_K", "F16", "Q8_0")]
    paths = [tmp_path / f"{index}.gguf" for index in range(3)]
    watcher = Watcher()
    written = run(plans, source, paths, NUMPY, watcher)
    assert [path.read_bytes() for path in paths] == [expected(plan, source) for plan in plans]
    assert [one.path for one in written] == paths
    assert watcher.done == watcher.total
    assert watcher.finished


@pytest.mark.usefixtures("small_tasks")
@pytest.mark.parametrize("jobs", [1, 2, 5])
@pytest.mark.parametrize("kernels", ["numpy", "numba"])
def test_the_number_of_workers_changes_nothing(
    source: Checkpoint, tmp_path: Path, jobs: int, kernels: str
) -> None:
    plan = plan_of(OUTPUTS, "Q4_K")
    written = convert(plan, source, tmp_path, Settings(jobs=jobs, kernels=kernels))
    assert written.path.read_bytes() == expected(plan, source)
    assert (written.jobs, written.kernels) == (jobs, kernels)


@pytest.mark.usefixtures("small_tasks", "processes")
def test_processes_give_the_same_bytes(source: Checkpoint, tmp_path: Path) -> None:
    plan = plan_of(OUTPUTS, "Q4_K")
    written = convert(plan, source, tmp_path, Settings(jobs=2, kernels="numpy"))
    assert written.path.read_bytes() == expected(plan, source)


@settings(max_examples=20, deadline=None)
@given(
    step=st.integers(500, 1 << 17), seed=st.integers(0, 99), type=st.sampled_from(("Q8_0", "BF16"))
)
def test_neither_size_nor_order_of_tasks_changes_a_byte(
    source: Checkpoint, step: int, seed: int, type: str
) -> None:
    plan = plan_of(OUTPUTS, type)
    file = bytearray(plan.size)
    file[: len(plan.header)] = plan.header

    def write(offset: int, data: memoryview) -> None:
        file[offset : offset + len(data)] = data

    worker = Worker([plan.tensors], source, [write], "numpy", step)
    cut = list(tasks(plan, step))
    random.Random(seed).shuffle(cut)  # noqa: S311 - an order, no secret
    for task in cut:
        worker.write(task, worker.read(task))
    assert file == expected(plan, source)


# Weights that must not be written.


def spoiled(folder: Path, name: str, place: tuple[int, ...], value: float) -> Checkpoint:
    """The model with one other weight."""
    tensors = weights()
    tensors[name][place] = value
    return open_checkpoint(write_checkpoint(folder / "spoiled", tensors))


@pytest.mark.usefixtures("small_tasks")
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    ("name", "place", "value", "word"),
    [
        ("q", (200, 17), np.nan, "NaN"),
        ("embed", (299, 511), np.inf, "infinite"),
        ("bias", (3,), -np.inf, "infinite"),
        ("conv", (5, 7), np.nan, "NaN"),
        ("expert.1", (63, 0), np.nan, "NaN"),
    ],
)
def test_a_weight_that_is_no_number_is_named(
    tmp_path: Path, jobs: int, name: str, place: tuple[int, ...], value: float, word: str
) -> None:
    source = spoiled(tmp_path, name, place, value)
    with pytest.raises(CheckpointError) as caught:
        convert(plan_of(OUTPUTS, "Q8_0"), source, tmp_path, Settings(jobs=jobs))
    assert caught.value.reference == "non-finite-weight"
    assert caught.value.message == f"the weight at [{', '.join(map(str, place))}] is {word}"
    assert caught.value.where is not None
    assert caught.value.where.startswith(f"{name} (")
    assert [path.name for path in tmp_path.iterdir()] == ["spoiled"]


def test_the_first_bad_weight_is_the_one_that_is_named(tmp_path: Path) -> None:
    tensors = weights()
    tensors["q"][10, 3] = tensors["q"][9, 500] = tensors["q"][255, 0] = np.nan
    source = open_checkpoint(write_checkpoint(tmp_path / "m", tensors))
    with pytest.raises(CheckpointError, match=r"\[9, 500\]"):
        convert(plan_of(OUTPUTS, "Q8_0"), source, tmp_path)


def test_a_transform_that_overflows_is_refused(tmp_path: Path) -> None:
    source = spoiled(tmp_path, "q", (1, 2), 3e38)
    plan = plan_of([Output("big.weight", (256, 512), ("q",), Scale(2.0))], "Q8_0")
    with pytest.raises(CheckpointError) as caught:
        convert(plan, source, tmp_path)
    assert caught.value.where == "big.weight"
    assert "[1, 2] is infinite" in caught.value.message


@pytest.mark.usefixtures("small_tasks")
def test_too_large_for_f16_is_counted_over_the_whole_tensor(tmp_path: Path) -> None:
    tensors = weights()
    tensors["embed"][4, 5] = 70000.0
    tensors["embed"][290, 6] = -1e9
    tensors["embed"][299, 511] = 65280.0  # fits
    source = open_checkpoint(write_checkpoint(tmp_path / "m", tensors))
    with pytest.raises(CheckpointError) as caught:
        convert(plan_of(OUTPUTS, "F16"), source, tmp_path)
    assert caught.value.reference == "f16-overflow"
    assert caught.value.where == "token_embd.weight"
    assert caught.value.message == "2 weights are too large for F16"
    assert caught.value.reason is not None
    assert "[290, 6]" in caught.value.reason
    assert caught.value.hint is not None
    assert "--type BF16" in caught.value.hint


# F32, BF16 and MXFP4 have scales of 8 bits of exponent, which hold what float32 holds.
@pytest.mark.parametrize("type", sorted(set(QUANTIZERS) - {"F32", "BF16", "MXFP4"}))
def test_no_block_with_an_infinite_scale_is_written(tmp_path: Path, type: str) -> None:
    """What llama-quantize refuses after quantizing, in every type that can be written."""
    rows = np.full((4, 512), 1e10, np.float32)
    rows[2] *= -1
    source = open_checkpoint(write_checkpoint(tmp_path / "m", {"big": rows}))
    plan = plan_of([Output("big.weight", (4, 512), ("big",))], type)
    with pytest.raises(CheckpointError) as caught:
        convert(plan, source, tmp_path)
    assert caught.value.reference == ("f16-overflow" if type == "F16" else "scale-overflow")
    assert not (tmp_path / "out.gguf").exists()
    assert not partial_path(tmp_path / "out.gguf").exists()


# Errors.


class Failing:
    """A checkpoint that does something else where a certain weight is read."""

    def __init__(self, source: Checkpoint, action: Callable[[], None], name: str = "gate_up"):
        self.source = source
        self.name = source.name
        self.weights = source.weights
        self.action = action
        self.bad = name
        self.reads = 0

    def decode_rows(self, name: str, lo: int, hi: int) -> NDArray[np.float32]:
        self.reads += 1
        if name == self.bad:
            self.action()
        return self.source.decode_rows(name, lo, hi)

    def repack_rows(self, name: str, lo: int, hi: int) -> NDArray[np.uint8]:
        raise AssertionError

    def read_json(self, name: str) -> object:
        return None


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
            Settings(jobs=jobs), NullProgress(),
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
            Settings(jobs=2), NullProgress(),
        )  # fmt: skip
    assert failing.reads <= 4


@pytest.mark.usefixtures("small_tasks", "processes")
@pytest.mark.parametrize(
    ("action", "reference"),
    [(refuse, "truncated-file"), (break_off, "unreadable"), (vanish, "worker-lost")],
)
def test_errors_of_processes_arrive(
    source: Checkpoint, tmp_path: Path, action: Callable[[], None], reference: str
) -> None:
    with pytest.raises((CheckpointError, DiskError)) as caught:
        run(
            [plan_of(OUTPUTS, "Q8_0")], Failing(source, action), [tmp_path / "out.gguf"],
            Settings(jobs=2, kernels="numpy"), NullProgress(),
        )  # fmt: skip
    assert caught.value.reference == reference
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
        convert(plan_of(OUTPUTS, "Q8_0"), source, tmp_path, Settings(max_memory=1_000_000))
    assert caught.value.reference == "too-little-memory"
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("--max-memory ")
    assert list(tmp_path.iterdir()) == []


def test_the_bound_decides_how_many_workers_there_are() -> None:
    def jobs(bound: int) -> int:
        wanted = Settings(jobs=64, max_memory=bound, kernels="numpy")
        return memory.limits_of(wanted, 10**9).jobs

    found = [jobs(bound) for bound in (400_000_000, 800_000_000, 1_600_000_000, 64_000_000_000)]
    assert found == sorted(found)
    assert found[0] < found[1] < found[2] < found[3] == 64


def test_a_tensor_that_is_needed_whole_must_fit(
    source: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(OUTPUTS, "Q8_0")
    limits = memory.limits_of(NUMPY, plan.weights)
    (whole,) = [t for t in tasks(plan, limits.step) if plan.tensors[t.index].transform.whole]
    tensor = plan.tensors[whole.index]
    needed = memory.task_memory(source, tensor, whole, limits.step)
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
    assert caught.value.reference == "disk-full"
    assert not list(tmp_path.glob("*.partial"))


def test_unknown_kernels_and_workers_are_refused(source: Checkpoint, tmp_path: Path) -> None:
    for wrong in (Settings(kernels="fpga"), Settings(jobs=0)):
        with pytest.raises(UsageError):
            convert(plan_of(OUTPUTS, "Q8_0"), source, tmp_path, wrong)
