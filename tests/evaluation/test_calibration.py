"""Statistics of inputs through llama.cpp, and files that are made with a text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quantize import api
from quantize.errors import UsageError
from quantize.evaluation.engine import opened
from quantize.evaluation.statistics import Sums, products, squares
from quantize.formats.imatrix_files import read_imatrix
from quantize.formats.imatrix_write import encode_imatrix
from quantize.storage.calibration_text import DEFAULT, text_file
from quantize.verbs.common.calibrating import shrunk
from tests.support.cli_runner import Cli
from tests.support.paths import DATA, ROOT

Checkpoint = Callable[[str], Path]
IDS = np.arange(40, 72, dtype=np.int32)


def seen(file: Path, sums: Sums) -> Sums:
    with opened(file, len(IDS), 1, lambda name: name.startswith("blk."), sums.take) as model:
        model.watched(IDS)
        sums.add_up()
    return sums


@pytest.fixture(scope="module")
def moe(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("moe")
    options = api.Options(types=("F32",), output=output)
    return api.convert(str(checkpoint("qwen2moe-8x")), options).files[0].path


@pytest.fixture(scope="module")
def mla(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("mla")
    options = api.Options(types=("F32",), output=output)
    return api.convert(str(checkpoint("deepseek2-8x")), options).files[0].path


def test_every_expert_gets_the_tokens_that_go_to_it(moe: Path) -> None:
    """A router's softmax sends each token to some experts: all of them together see all slots."""
    sums = seen(moe, squares())
    used = api.inspect(str(moe)).kvs.hparam("expert_used_count")
    for block in (0, 1):
        router = f"blk.{block}.ffn_gate_inp.weight"
        experts = f"blk.{block}.ffn_up_exps.weight"
        assert sums.counts[router].tolist() == [len(IDS)]
        assert sums.counts[experts].sum() == used * len(IDS)
        # They all read what the router reads.
        total = sums.sums[experts].sum(axis=0)
        np.testing.assert_allclose(total, used * sums.sums[router][0], rtol=1e-5)


def test_each_matrix_of_mla_has_statistics_of_its_own(mla: Path) -> None:
    sums = seen(mla, squares())
    name = "blk.0.attn_k_b.weight"
    shape = next(one.shape for one in api.inspect(str(mla)).tensors if one.name == name)
    assert sums.sums[name].shape == (shape[0], shape[2])
    assert sums.counts[name].tolist() == [len(IDS)] * shape[0]


def test_all_products_have_the_squares_on_their_diagonal(moe: Path) -> None:
    alone, together = seen(moe, squares()), seen(moe, products())
    assert set(together.of) == set(alone.sums)
    # Neighbours share what they read.
    assert together.of["blk.0.attn_k.weight"] == together.of["blk.0.attn_q.weight"]
    for name, key in together.of.items():
        diagonal = np.diagonal(together.sums[key], axis1=1, axis2=2)
        np.testing.assert_allclose(diagonal, alone.sums[name], rtol=1e-4, atol=1e-9)
        assert (together.counts[key] == alone.counts[name]).all()


def test_experts_that_saw_little_are_drawn_towards_all() -> None:
    sums = products()
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((64, 1, 8)).astype(np.float32)
    ids = np.zeros((64, 1), np.int32)
    ids[0] = 1
    sums.take("a", "a", inputs, ids, 3)
    sums.add_up()
    often, once, never = shrunk(sums, "a")
    mean = np.asarray(sums.sums["a"].sum(axis=0) / 64)
    np.testing.assert_allclose(never, mean / np.trace(mean) * 8, atol=2**-15)
    assert np.linalg.eigvalsh(once.astype(np.float64)).min() > 0
    assert np.abs(often - never).max() < np.abs(once - never).max()


def test_a_written_matrix_is_read_as_it_was(moe: Path, tmp_path: Path) -> None:
    sums = seen(moe, squares())
    file = tmp_path / "imatrix.gguf"
    file.write_bytes(encode_imatrix(sums.sums, sums.counts, ["text.txt"], 1, len(IDS)))
    read = read_imatrix(file)
    assert (read.chunks, read.chunk_size, read.datasets) == (1, len(IDS), ("text.txt",))
    assert set(read.entries) == set(sums.sums)
    for name, entry in read.entries.items():
        counts = np.maximum(sums.counts[name], 1)[:, None]
        expected = np.where(sums.counts[name][:, None] > 0, sums.sums[name] / counts, 1)
        np.testing.assert_allclose(entry.values(), expected.reshape(-1), rtol=1e-6)


def test_a_text_makes_files_better_and_any_number_of_workers_the_same(
    tinyrust: Path, tmp_path: Path
) -> None:
    digests = []
    for number, kernels in enumerate(("numba", "numpy")):
        options = api.Options(
            types=("Q2_K",), refine="full", calibrate=str(DATA / "rows.txt"), kernels=kernels,
            jobs=1, output=tmp_path / str(number), prune_layers="1,2,3,4,5,6",
        )  # fmt: skip
        (file,) = api.convert(str(tinyrust), options).files
        digests.append(hashlib.sha256(file.path.read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    record = json.loads((tmp_path / "0" / "manifest.json").read_text())["options"]
    text_sha256 = hashlib.sha256((DATA / "rows.txt").read_bytes()).hexdigest()
    assert record["refine"]["text_sha256"] == text_sha256
    assert api.inspect(str(file.path)).kvs.value("quantize.refine.text") == "rows.txt"
    assert api.verify(file.path).by_manifest
    with pytest.raises(UsageError) as caught:
        api.verify(file.path, str(tinyrust))
    assert caught.value.code == "refined-with-text"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"refine": "full"}, "refine-without-text"),
        ({"calibrate": str(ROOT / "LICENSE"), "imatrix": "a"}, "imatrix-and-text"),
    ],
)
def test_what_makes_no_sense_is_refused(
    options: dict[str, str], code: str, tinyrust: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        api.convert(str(tinyrust), api.Options(types=("Q4_K_M",), output=tmp_path, **options))  # type: ignore[arg-type]
    assert caught.value.code == code


def test_a_matrix_is_made_from_the_command_line(moe: Path, tmp_path: Path, cli: Cli) -> None:
    output = tmp_path / "new" / "imatrix.gguf"
    ran = cli(
        "imatrix", "make", str(moe), "--text", str(DATA / "rows.txt"), "--context", "64",
        "--chunks", "2", "-j", "1", "-o", str(output), "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    made = read_imatrix(output)
    assert (made.chunks, made.chunk_size, made.datasets) == (2, 64, ("rows.txt",))
    assert made.entries["blk.0.attn_q.weight"].counts == (128,)
    assert [path.name for path in output.parent.iterdir()] == ["imatrix.gguf"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("make",), "no-such-imatrix"),
        (("a.gguf", "b.gguf"), "imatrix-what"),
        (("make", "model.gguf"), "imatrix-what"),
        (("make", "model.gguf", "--text", "missing.txt"), "unreadable"),
    ],
)
def test_a_command_that_is_not_complete_is_refused(
    arguments: tuple[str, ...], code: str, cli: Cli
) -> None:
    ran = cli("imatrix", *arguments)
    assert ran.code != 0
    assert f"[{code}]" in ran.err


def test_the_default_text_comes_along_and_is_found_by_name(
    moe: Path, tmp_path: Path, cli: Cli
) -> None:
    output = tmp_path / "imatrix.gguf"
    ran = cli(
        "imatrix", "make", str(moe), "--text", "default", "--context", "64", "--chunks", "1",
        "-j", "1", "-o", str(output),
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert read_imatrix(output).datasets == ("default",)
    text = text_file(DEFAULT).read_text("utf-8")
    prose = (ROOT / "scripts" / "calibration_prose.txt").read_text("utf-8")
    # All paragraphs of the prose are in it, and it is as long as some dozens of chunks need.
    assert all(paragraph in text for paragraph in prose.strip().split("\n\n"))
    assert 50_000 < len(text.encode()) < 200_000
