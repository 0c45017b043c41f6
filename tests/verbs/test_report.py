"""`convert --report`: what `compare` finds, measured on the way, however the work is done."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize import api, kernels
from quantize.checkpoints.checkpoint import Checkpoint
from quantize.cli.html.page import page
from quantize.cli.reports import report_json
from quantize.errors import DiskError
from quantize.execution import inline_errors as metering
from quantize.execution import memory, run
from quantize.execution.error_sums import TensorQuality, measure
from quantize.execution.inline_errors import measured_ranges, measured_weights, stride
from quantize.measuring.grouped import total
from quantize.options.run import RunOptions
from quantize.planning.model import OutputTensor
from quantize.planning.plan import Plan, Task
from quantize.progress import NullProgress
from quantize.quantizers import QUANTIZERS
from quantize.tensors import count
from quantize.verbs.common.comparison import Comparison
from quantize.verbs.compare import compare
from tests.support.cli_runner import Cli
from tests.support.execution_models import (
    OUTPUTS,
    open_checkpoint,
    plan_of,
    weights,
    write_checkpoint,
)
from tests.support.stopping import Stopping

Folder = Callable[[str], Path]
MODEL = "llama2-spm"
TYPES = ("Q4_K_M", "Q8_0")
# Permuted heads, stacked experts, blocks that are moved, transposed and made-up tensors.
MODELS = (MODEL, "mixtral-8x", "gptoss", "gpt2", "mamba")


def converted(folder: Path, output: Path, **options: Any) -> tuple[Comparison, ...]:
    chosen = api.Options(types=TYPES, output=output, report=True, kernels="numpy")
    return api.convert(str(folder), replace(chosen, **options)).reports


@pytest.fixture(scope="module")
def usual(checkpoint: Folder, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The reports of an undisturbed run, as JSON."""
    folder = tmp_path_factory.mktemp("usual")
    return [report_json(one) for one in converted(checkpoint(MODEL), folder, jobs=1)]


@pytest.mark.parametrize("name", MODELS)
def test_a_report_of_all_rows_is_what_compare_says(
    checkpoint: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(metering, "STRIDES", ())
    reports = converted(checkpoint(name), tmp_path)
    for type, report in zip(TYPES, reports, strict=True):
        found = compare(str(checkpoint(name)), str(tmp_path / report.other.location))
        assert report.other.name.endswith(type)
        assert {one.name: one for one in report.measured} == {
            one.name: one for one in found.measured
        }
        assert (report.kvs, report.tensors, report.comparable) == ((), (), found.comparable)
        for ours, theirs in ((report.reference, found.reference), (report.other, found.other)):
            assert replace(ours, location="") == replace(theirs, location="")
        assert total(report.measured) == total(found.measured)


def test_a_sample_stands_for_the_whole(checkpoint: Folder, tmp_path: Path) -> None:
    """Of weights that are alike, a tenth has nearly the same error; nothing exceeds the largest."""
    report = converted(checkpoint(MODEL), tmp_path)[0]
    found = compare(str(checkpoint(MODEL)), str(tmp_path / report.other.location))
    whole = {one.name: one for one in found.measured}
    sampled = [one for one in report.measured if one.measured < count(one.shape)]
    assert sampled
    for one in sampled:
        other = whole[one.name].quality
        assert one.quality.count == other.count
        assert one.quality.relative_rms == pytest.approx(other.relative_rms, rel=0.1)
        assert one.quality.largest <= other.largest


@pytest.mark.parametrize("step", [1 << 12, 1 << 14, 50_000])
@pytest.mark.parametrize("jobs", [1, 3])
def test_how_the_work_is_cut_and_shared_changes_nothing(
    checkpoint: Folder,
    tmp_path: Path,
    usual: list[str],
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    jobs: int,
) -> None:
    monkeypatch.setattr(memory, "LARGEST_STEP", step)
    reports = converted(checkpoint(MODEL), tmp_path, jobs=jobs)
    assert [report_json(one) for one in reports] == usual


@pytest.mark.usefixtures("processes", "small_tasks")
def test_processes_report_the_same(checkpoint: Folder, tmp_path: Path, usual: list[str]) -> None:
    reports = converted(checkpoint(MODEL), tmp_path, jobs=2)
    assert [report_json(one) for one in reports] == usual


@pytest.mark.parametrize("name", kernels.available()[1:])
def test_compiled_kernels_report_the_same(
    checkpoint: Folder, tmp_path: Path, usual: list[str], name: str
) -> None:
    reports = converted(checkpoint(MODEL), tmp_path, kernels=name)
    assert [report_json(one) for one in reports] == usual


def test_each_type_has_the_report_that_it_has_alone(
    checkpoint: Folder, tmp_path: Path, usual: list[str]
) -> None:
    (report,) = converted(checkpoint(MODEL), tmp_path, types=("Q8_0",))
    assert report_json(report) == usual[1]


def test_measuring_changes_no_byte(checkpoint: Folder, tmp_path: Path) -> None:
    folders = [tmp_path / "with", tmp_path / "without"]
    for folder, report in zip(folders, (True, False), strict=True):
        converted(checkpoint(MODEL), folder, report=report)
    names = sorted(path.name for path in folders[0].iterdir())
    assert names == sorted(path.name for path in folders[1].iterdir())
    for name in names:
        assert len({(folder / name).read_bytes() for folder in folders}) == 1, name


# Which rows.


@pytest.mark.parametrize(
    ("shape", "every"),
    [
        ((4, 64), 1),
        ((700, 256), 1),
        ((768, 256), 3),
        ((3000, 512), 23),
        ((31 * 256 + 3, 256), 31),
        ((61 * 256, 256), 61),
    ],
)
def test_what_is_measured_of_a_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], every: int
) -> None:
    """Every so-manieth row from the first on, and at least 2**16 weights if there are so many."""
    monkeypatch.setattr(memory, "LARGEST_STEP", 40_000)
    values = np.random.default_rng(2).standard_normal(shape, np.float32)
    source = open_checkpoint(write_checkpoint(tmp_path, {"w": values}))
    plan = plan_of([OutputTensor("w", shape, ("w",))], "Q4_0")
    (tensor,) = plan.tensors
    (quality,) = measured(source, [plan], [tmp_path / "x.gguf"])[0]
    data = (tmp_path / "x.gguf").read_bytes()[tensor.offset :][: tensor.nbytes]
    stored = np.frombuffer(data, np.uint8).reshape(shape[0], -1)
    lost = QUANTIZERS["Q4_0"].dequantize(stored)
    reference = source.decode_rows("w", 0, shape[0])
    assert stride(tensor) == every
    assert quality == measure(reference[::every], lost[::every])
    assert quality.count == measured_weights(tensor) >= min(tensor.rows * tensor.cols, 1 << 16)


# Runs that stop and go on.


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(write_checkpoint(tmp_path_factory.mktemp("model"), weights()))


@pytest.fixture
def plans() -> list[Plan]:
    return [plan_of(OUTPUTS, type) for type in ("Q8_0", "Q4_K")]


def settings(*, measures: bool = True) -> RunOptions:
    return RunOptions(jobs=1, kernels="numpy", report=measures)


def measured(
    source: Checkpoint | Stopping, plans: Sequence[Plan], paths: Sequence[Path]
) -> list[list[TensorQuality]]:
    written = run(plans, source, paths, settings(), NullProgress(), identity="a")
    return [list(one.qualities) for one in written]


def stop(
    source: Checkpoint, plans: Sequence[Plan], paths: Sequence[Path], *, measures: bool, reads: int
) -> None:
    stopping = Stopping(source, reads)
    with pytest.raises(DiskError):
        run(plans, stopping, paths, settings(measures=measures), NullProgress(), identity="a")


def places(folder: Path, plans: Sequence[Plan]) -> list[Path]:
    return [folder / f"{number}.gguf" for number, _ in enumerate(plans)]


@pytest.mark.usefixtures("small_tasks")
@pytest.mark.parametrize("step", [1 << 10, 1 << 14, 1 << 20])
def test_a_run_that_goes_on_reports_the_same(
    source: Checkpoint,
    plans: list[Plan],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    undisturbed = Stopping(source)
    (tmp_path / "other").mkdir()
    expected = measured(undisturbed, plans, places(tmp_path / "other", plans))
    paths = places(tmp_path, plans)
    for reads in (6, 5):
        stop(source, plans, paths, measures=True, reads=reads)
    monkeypatch.setattr(memory, "LARGEST_STEP", step)
    last = Stopping(source)
    assert measured(last, plans, paths) == expected
    assert last.elements < undisturbed.elements


@pytest.mark.usefixtures("small_tasks")
def test_what_was_not_measured_is_made_again(
    source: Checkpoint, plans: list[Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run without measuring, one of another type, and one that measures, cut differently."""
    (tmp_path / "other").mkdir()
    expected = measured(source, plans, places(tmp_path / "other", plans))
    paths = places(tmp_path, plans)
    stop(source, plans, paths, measures=False, reads=6)
    stop(source, plans[:1], paths[:1], measures=True, reads=12)
    monkeypatch.setattr(memory, "LARGEST_STEP", 3000)
    stop(source, plans, paths, measures=True, reads=9)
    monkeypatch.setattr(memory, "LARGEST_STEP", 7000)
    assert measured(source, plans, paths) == expected
    for path, other in zip(paths, places(tmp_path / "other", plans), strict=True):
        assert path.read_bytes() == other.read_bytes()


SPANS = st.lists(
    st.builds(
        lambda index, a, b: Task(index, min(a, b), max(a, b) + 1),
        st.integers(0, 1),
        st.integers(0, 30),
        st.integers(0, 30),
    )
)


@given(st.lists(SPANS, min_size=1, max_size=3))
def test_no_row_counts_twice(journals: list[list[Task]]) -> None:
    listed: list[Mapping[Task, TensorQuality]] = [
        dict.fromkeys(tasks, TensorQuality()) for tasks in journals
    ]
    done, found = measured_ranges(listed, [40, 40])
    rows = [(task.index, row) for task in found for row in range(task.lo, task.hi)]
    assert len(set(rows)) == len(rows)
    assert all(task in one for task in found for one in listed)
    assert set(rows) == {(t.index, row) for t in done.tasks() for row in range(t.lo, t.hi)}
    common = [task for task in listed[0] if all(task in one for one in listed)]
    assert common == [] or common[-1] in found


# What people and programs get.


def test_the_command(cli: Cli, checkpoint: Folder, tmp_path: Path, usual: list[str]) -> None:
    arguments = ("convert", str(checkpoint(MODEL)), *itertools.chain(*(("-t", t) for t in TYPES)))
    ran = cli(*arguments, "--report", "--kernels", "numpy", "-o", str(tmp_path / "a"))
    assert ran.code == 0, ran.err
    lines = [line for line in ran.out.splitlines() if ".report.html" in line]
    assert [line.split()[0] for line in lines] == [
        str(tmp_path / "a" / f"{MODEL}-{type}.report.html") for type in TYPES
    ]
    for type, text, line in zip(TYPES, usual, lines, strict=True):
        html, document = (
            tmp_path / "a" / f"{MODEL}-{type}.report{end}" for end in (".html", ".json")
        )
        assert document.read_text("utf-8") == text
        (everything,) = [one for one in json.loads(text)["totals"] if one["by"] == "all"]
        shown = 100 * everything["weights_measured"] / everything["n_params"]
        assert line.endswith(f"{shown:.3g} %")
        assert f"{shown:.3g} % of the weights" in html.read_text("utf-8")
    ran = cli(*arguments, "--report", "--kernels", "numpy", "-o", str(tmp_path / "b"), "--json")
    events = [event for event in ran.events if event["event"] == "report"]
    assert [Path(event["path"]).name for event in events] == [f"{MODEL}-{t}.gguf" for t in TYPES]
    for event in events:
        for kind in ("html", "json"):
            written = Path(event[kind])
            assert written.read_bytes() == (tmp_path / "a" / written.name).read_bytes()


def test_nothing_is_reported_unasked(cli: Cli, checkpoint: Folder, tmp_path: Path) -> None:
    ran = cli("convert", str(checkpoint(MODEL)), "-t", "Q8_0", "-o", str(tmp_path), "--json")
    assert [event for event in ran.events if event["event"] == "report"] == []
    assert list(tmp_path.glob("*.report.*")) == []


def test_a_comparison_says_nothing_of_samples(checkpoint: Folder, tmp_path: Path) -> None:
    (report,) = converted(checkpoint(MODEL), tmp_path, types=("Q8_0",))
    found = compare(str(checkpoint(MODEL)), str(tmp_path / report.other.location))
    note = "Measured while the file was written."
    assert note in page(report)
    assert note not in page(found)
