"""The engine writes what the plan says, however the work is cut, ordered and shared."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantize.checkpoints.checkpoint import Checkpoint
from quantize.errors import CheckpointError
from quantize.execution import run
from quantize.execution.worker import Worker
from quantize.formats.imatrix import ImatrixEntry
from quantize.options.run import RunOptions
from quantize.planning.model import OutputTensor
from quantize.planning.plan import tasks
from quantize.quantizers import QUANTIZERS
from quantize.storage.sink import partial_path
from quantize.transforms import Scale
from tests.support.execution_models import (
    NUMPY,
    OUTPUTS,
    Watcher,
    convert,
    expected,
    open_checkpoint,
    plan_of,
    weights,
    write_checkpoint,
)


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
    written = convert(plan, source, tmp_path, RunOptions(jobs=jobs, kernels=kernels))
    assert written.path.read_bytes() == expected(plan, source)
    assert (written.jobs, written.kernels) == (jobs, kernels)


@pytest.mark.usefixtures("small_tasks", "processes")
def test_processes_give_the_same_bytes(source: Checkpoint, tmp_path: Path) -> None:
    plan = plan_of(OUTPUTS, "Q4_K")
    written = convert(plan, source, tmp_path, RunOptions(jobs=2, kernels="numpy"))
    assert written.path.read_bytes() == expected(plan, source)


@settings(max_examples=20)
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
        convert(plan_of(OUTPUTS, "Q8_0"), source, tmp_path, RunOptions(jobs=jobs))
    assert caught.value.code == "non-finite-weight"
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
    plan = plan_of([OutputTensor("big.weight", (256, 512), ("q",), Scale(2.0))], "Q8_0")
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
    assert caught.value.code == "f16-overflow"
    assert caught.value.where == "token_embd.weight"
    assert caught.value.message == "2 weights are too large for F16"
    assert caught.value.reason is not None
    assert "[290, 6]" in caught.value.reason
    assert caught.value.hint is not None
    assert "--type BF16" in caught.value.hint


# F32, BF16 and MXFP4 have scales of 8 bits of exponent, which hold what float32 holds. Those of
# NVFP4 end at 448.
@pytest.mark.parametrize("type", sorted(set(QUANTIZERS) - {"F32", "BF16", "MXFP4", "NVFP4"}))
def test_no_block_with_an_infinite_scale_is_written(tmp_path: Path, type: str) -> None:
    """What llama-quantize refuses after quantizing, in every type that can be written."""
    rows = np.full((4, 512), 1e10, np.float32)
    rows[2] *= -1
    source = open_checkpoint(write_checkpoint(tmp_path / "m", {"big": rows}))
    ones = np.ones(512, "<f4").tobytes()
    (tmp_path / "ones").write_bytes(ones)
    imatrix = ImatrixEntry(tmp_path / "ones", 0, 512, (1,), hashlib.sha256(ones).hexdigest())
    plan = plan_of([OutputTensor("big.weight", (4, 512), ("big",), imatrix=imatrix)], type)
    with pytest.raises(CheckpointError) as caught:
        convert(plan, source, tmp_path)
    assert caught.value.code == ("f16-overflow" if type == "F16" else "scale-overflow")
    assert not (tmp_path / "out.gguf").exists()
    assert not partial_path(tmp_path / "out.gguf").exists()
