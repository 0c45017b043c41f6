"""Models in several files: read as one, written as gguf-split and llama-quantize write them."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize import api
from quantize.checkpoints.checkpoint import Checkpoint
from quantize.errors import CheckpointError, QuantizeError, UsageError, VerificationError
from quantize.execution import run
from quantize.formats.kv import KV
from quantize.ollama.doctor.diagnosis import diagnose
from quantize.options.run import RunOptions
from quantize.sources.opening import open_source
from quantize.verbs.verify import verify
from tests.support.cli_runner import Cli
from tests.support.engine import log_probabilities, serve
from tests.support.execution_models import (
    OUTPUTS,
    Watcher,
    expected,
    open_checkpoint,
    plan_of,
    weights,
    write_checkpoint,
)
from tests.support.modelfile_reader import read_modelfile
from tests.support.paths import ROOT
from tests.support.split_files import as_usual, header_of, scattered, write_parts

GOLDENS = ROOT / "tests" / "data" / "splits.txt"
MODEL = "llama31-bpe"
IDS = range(20, 28)


@pytest.fixture(scope="module")
def llama(checkpoint: Callable[[str], Path]) -> str:
    return str(checkpoint(MODEL))


@pytest.fixture(scope="module")
def floats(llama: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as one file."""
    folder = tmp_path_factory.mktemp("floats")
    options = api.Options(types=("F32",), output=folder, jobs=1)
    return api.convert(llama, options).files[0].path


@pytest.fixture(scope="module")
def parts(floats: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same in four files, in another order."""
    return write_parts(floats, tmp_path_factory.mktemp("parts"), scattered(floats))


def convert(source: Path | str, output: Path, **options: Any) -> api.OutputFile:
    chosen = api.Options(types=("Q3_K_M",), output=output, jobs=1, **options)
    return api.convert(str(source), chosen).files[0]


def digests(file: api.OutputFile) -> dict[str, str]:
    """By what stands behind the model's name, as tests/data/splits.txt has it."""
    for one in file.files:
        assert hashlib.sha256(one.path.read_bytes()).hexdigest() == one.sha256
        assert one.path.stat().st_size == one.size
    return {one.path.name.partition(file.type)[2]: one.sha256 for one in file.files}


def goldens(case: str) -> dict[str, str]:
    lines = [line.split("  ") for line in GOLDENS.read_text("utf-8").splitlines()]
    return {number: sha256 for sha256, own, number in lines if own == case}


# What is written.


@pytest.mark.parametrize("size", ["1M", "2M"])
def test_files_are_those_of_gguf_split(size: str, llama: str, tmp_path: Path) -> None:
    options = api.Options(types=("Q4_K_M",), output=tmp_path, jobs=1, split_max_size=size)
    assert digests(api.convert(llama, options).files[0]) == goldens(f"split-max-size {size}")


@pytest.mark.parametrize("pruned", ["none", "0,2"])
def test_kept_files_are_those_of_llama_quantize(
    pruned: str, parts: list[Path], tmp_path: Path
) -> None:
    """The mixes count in the order of the files, which is another one than that of names."""
    layers = None if pruned == "none" else pruned
    file = convert(parts[0], tmp_path, keep_split=True, prune_layers=layers)
    assert digests(file) == goldens(f"keep-split without {pruned}")


def test_what_fits_into_one_file_is_one(llama: str, tmp_path: Path) -> None:
    file = convert(llama, tmp_path / "a", split_max_size="1G")
    assert file.path.name == f"{MODEL}-Q3_K_M.gguf"
    assert file.sha256 == convert(llama, tmp_path / "b").sha256


def test_llama_cpp_computes_the_same_with_them(llama: str, tmp_path: Path) -> None:
    files = [convert(llama, tmp_path / "a"), convert(llama, tmp_path / "b", split_max_size="1M")]
    assert len(files[1].files) > 2
    found = []
    for file in files:
        server = serve(file.path)
        found.append(log_probabilities(server, list(IDS)))
        del server
    np.testing.assert_array_equal(found[0], found[1])


def test_the_plan_shows_the_files(cli: Cli, llama: str, tmp_path: Path) -> None:
    arguments = (llama, "-t", "Q4_K_M", "--split-max-size", "1MB")
    told = cli("plan", *arguments, "--json").event("plan")
    made = cli("convert", *arguments, "--json", "-o", str(tmp_path), "-j", "1").events
    written = [(Path(one["path"]).name, one["size"]) for one in made if one["event"] == "file"]
    assert list(told["files"].items()) == written
    assert told["size"] == sum(size for _, size in written)
    assert told["file"] == written[0][0]
    assert [(one["file"], one["name"], one["offset"]) for one in told["tensors"]] == [
        (file, name, tensor.offset)
        for file, _ in written
        for name, tensor in header_of(tmp_path / file).tensors.items()
    ]
    shown = cli("plan", *arguments).out
    assert all(name in shown for name, _ in written)


def test_the_modelfile_names_every_file(llama: str, parts: list[Path], tmp_path: Path) -> None:
    """Ollama does not look for the others."""
    for source, wanted in ((llama, {"split_max_size": "1M"}), (parts[2], {"keep_split": True})):
        file = convert(source, tmp_path, **wanted)
        modelfile = tmp_path / "Modelfile"
        named = [one.value for one in read_modelfile(modelfile.read_bytes()) if one.word == "from"]
        assert named == [f"./{one.path.name}" for one in file.files]
        errors = [one for one in diagnose(file.path, modelfile) if one.level == "error"]
        assert errors == []


# What is read.


def test_any_part_names_the_model(parts: list[Path], floats: Path, tmp_path: Path) -> None:
    whole = convert(floats, tmp_path / "whole")
    for number in (0, 3):
        file = convert(parts[number], tmp_path / str(number))
        assert file.path.name == f"{MODEL}-F32-Q3_K_M.gguf"
        assert file.sha256 == whole.sha256
    inspected = api.inspect(str(parts[1]))
    assert {one.name for one in inspected.tensors} == set(header_of(floats).tensors)
    assert inspected.kvs == header_of(floats).kvs


def test_missing_parts_are_named(parts: list[Path], tmp_path: Path) -> None:
    here = tmp_path / parts[1].name
    here.write_bytes(parts[1].read_bytes())
    with pytest.raises(UsageError) as caught:
        open_source(str(here))
    assert caught.value.code == "no-shard"
    assert caught.value.message == "3 of the 4 files of the model are not there"
    assert caught.value.where == str(tmp_path / parts[0].name)


def test_files_that_do_not_belong_together_are_refused(floats: Path, tmp_path: Path) -> None:
    names = sorted(header_of(floats).tensors)
    halves = [names[:9], names[9:]]

    def wrong(key: str, value: int, of: int) -> list[Path]:
        def says(number: int, count: int, tensors: int) -> tuple[KV, ...]:
            return tuple(
                replace(kv, value=value) if kv.key == key and number == of else kv
                for kv in as_usual(number, count, tensors)
            )

        return write_parts(floats, tmp_path / f"{key}{of}", halves, says)

    double = write_parts(floats, tmp_path / "double", [names, names[:1]])
    silent = write_parts(floats, tmp_path / "silent", halves, lambda *_: ())
    alone = write_parts(floats, tmp_path / "alone", halves)[0].rename(tmp_path / "alone.gguf")
    for path, where in (
        (wrong("split.count", 3, 1)[0], "00002-of-00002.gguf"),
        (wrong("split.no", 1, 0)[1], "00001-of-00002.gguf"),
        (wrong("split.tensors.count", 41, 0)[0], "00001-of-00002.gguf"),
        (double[0], f"00002-of-00002.gguf: {names[0]}"),
        (silent[0], "00001-of-00002.gguf"),
        (alone, "alone.gguf"),
    ):
        with pytest.raises(CheckpointError) as caught:
            open_source(str(path))
        assert caught.value.code == "other-part"
        assert str(caught.value.where).endswith(where)


# Manifest and verify.


def test_verify_looks_at_all_files_and_makes_them_again(llama: str, tmp_path: Path) -> None:
    file = convert(llama, tmp_path, split_max_size="1M")
    for one in (file.files[0], file.files[-1]):
        checked = verify(one.path, llama)
        assert (checked.by_manifest, checked.tensors, checked.compared) == (True, 40, 40)
    outputs = json.loads((tmp_path / "manifest.json").read_text())["outputs"]
    assert [(one["file"], one["size"], one["sha256"]) for one in outputs] == [
        (one.path.name, one.size, one.sha256) for one in file.files
    ]
    third = file.files[2].path
    tensor = outputs[2]["tensors"][1]
    data = bytearray(third.read_bytes())
    data[tensor["offset"]] ^= 1
    third.write_bytes(data)
    with pytest.raises(VerificationError) as caught:
        verify(file.path)
    assert caught.value.code == "not-as-recorded"
    assert caught.value.where == f"{third.name}: {tensor['name']}"
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(VerificationError) as caught:
        verify(file.path, llama)
    assert caught.value.where == f"{third.name}: {tensor['name']}"


def test_a_manifest_that_makes_no_sense_is_told(llama: str, tmp_path: Path) -> None:
    file = convert(llama, tmp_path)
    manifest = tmp_path / "manifest.json"
    document = json.loads(manifest.read_text())
    for name, value in (("split", {"size": 1}), ("edits", {"prune_layers": 1}), ("edits", 7)):
        changed = {**document, "options": {**document["options"], name: value}}
        manifest.write_text(json.dumps(changed))
        with pytest.raises(UsageError) as caught:
            verify(file.path, llama)
        assert caught.value.code == "bad-manifest"


# Refusals.


def refused(source: Path | str, **options: Any) -> QuantizeError:
    with pytest.raises(QuantizeError) as caught:
        api.plan(str(source), api.Options(types=("Q4_K_M",), **options))
    return caught.value


def test_a_limit_below_the_largest_tensor_is_refused(llama: str) -> None:
    error = refused(llama, split_max_size="100kB")
    assert error.code == "large-tensor"
    size = int(str(error.hint).split()[1])
    named = api.plan(llama, api.Options(types=("Q4_K_M",), split_max_size=size + 10**6))
    assert error.where in {tensor.name for tensor in named.plans[0].tensors}
    assert refused(llama, split_max_size="4 gigs").code == "bad-size"
    assert refused(llama, split_max_size="1G", keep_split=True).code == "two-splits"


def test_there_must_be_something_to_keep(llama: str, floats: Path, parts: list[Path]) -> None:
    assert refused(llama, keep_split=True).code == "not-split"
    assert refused(floats, keep_split=True).code == "not-split"
    assert refused(llama, keep_split=True, adapter_only=True).code == "edits-of-adapter"


def test_a_file_without_tensors_between_others_is_refused(floats: Path, tmp_path: Path) -> None:
    names = sorted(header_of(floats).tensors)
    first = [name for name in names if name.startswith("blk.0.")]
    others = [name for name in names if name not in first]
    source = write_parts(floats, tmp_path, [others[:5], first, others[5:]])[0]
    error = refused(source, keep_split=True, prune_layers="0")
    assert (error.code, error.message) == ("empty-file", "no tensor is left for file 2")


# The run.


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(write_checkpoint(tmp_path_factory.mktemp("model"), weights()))


@pytest.mark.parametrize("jobs", [1, 2])
def test_files_of_several_types_are_cut_each_in_its_own_way(
    source: Checkpoint, tmp_path: Path, jobs: int
) -> None:
    plans = [plan_of(OUTPUTS, type, size) for type, size in (("F32", 800_000), ("Q8_0", 400_000))]
    assert len(plans[0].files) > len(plans[1].files) > 1
    paths = [tmp_path / "a.gguf", tmp_path / "b.gguf"]
    settings = RunOptions(jobs=jobs, kernels="numpy")
    for plan, one in zip(plans, run(plans, source, paths, settings, Watcher()), strict=True):
        assert b"".join(shard.path.read_bytes() for shard in one.shards) == expected(plan, source)
    assert len(list(tmp_path.iterdir())) == sum(len(plan.files) for plan in plans)


def test_killed_at_any_moment_it_gives_the_same_files(tmp_path: Path) -> None:
    values = np.random.default_rng(1).standard_normal((6, 1024, 512), dtype=np.float32)
    model = write_checkpoint(tmp_path / "model", {f"t{i}": one for i, one in enumerate(values)})
    command = [sys.executable, "-m", "tests.support.execution_program", str(model)]

    def start(output: Path) -> subprocess.Popen[str]:
        arguments = [str(output / "out.gguf"), "2", str(600 * 1024)]
        return subprocess.Popen([*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)

    (tmp_path / "undisturbed").mkdir()
    lines = start(tmp_path / "undisturbed").communicate(timeout=120)[0].splitlines()
    (output := tmp_path / "output").mkdir()
    moments = random.Random(0)  # noqa: S311 - moments, no secrets
    for _ in range(4):
        program = start(output)
        assert program.stdout is not None
        for _ in range(moments.randrange(1, len(lines) // 2)):
            program.stdout.readline()
        time.sleep(moments.random() * 0.02)
        program.kill()
        program.communicate(timeout=60)
    found = start(output).communicate(timeout=120)[0].splitlines()
    assert any(line.startswith("continues where it stopped") for line in found)
    assert found[-1] == lines[-1]
    assert len(found[-1].split()) > 2
    names = [
        sorted(path.name for path in (tmp_path / one).iterdir())
        for one in ("undisturbed", "output")
    ]
    assert (
        names[0]
        == names[1]
        == sorted(f"out-{i + 1:05}-of-{len(names[0]):05}.gguf" for i in range(len(names[0])))
    )
