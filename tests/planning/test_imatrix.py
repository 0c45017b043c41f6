"""With an importance matrix, files are llama-quantize's, byte for byte."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize import api
from quantize.kernels import available
from quantize.quantizers import load
from quantize.recipes import FTYPES
from tests.conftest import CheckGguf
from tests.support.imatrix_files import digests_of, entries_of, header_of, write_gguf
from tests.support.paths import DATA

Folder = Callable[[str], Path]
KIT = ("llama31-bpe", "mixtral-8x", "qwen2-tied")
# All that the kit and the trained model have files of; the names below come from those alone.
KIT_TYPES = (
    "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q2_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M", "Q5_K_M",
    "Q6_K", "IQ4_NL", "IQ4_XS",
)  # fmt: skip
TRAINED_TYPES = (
    "Q4_0", "Q2_K", "Q3_K_M", "Q4_K_S", "Q4_K_M", "Q5_K_M", "Q6_K", "IQ4_NL", "IQ4_XS",
    "IQ3_M", "IQ3_XXS", "IQ2_M", "IQ2_XS", "IQ1_M",
)  # fmt: skip


@pytest.fixture
def beside(kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A kit model's matrix in the working folder: the files have its path as it is given."""
    monkeypatch.chdir(tmp_path)

    def copy(name: str) -> Path:
        shutil.copy(kit / "models" / name / "imatrix.gguf", tmp_path)
        return Path("imatrix.gguf")

    return copy


def with_matrix(found: Mapping[str, Any], label: str) -> list[str]:
    return [name.removesuffix(label) for name in found if name.endswith(label)]


def test_the_types_here_are_those_that_llama_quantize_made(kit: Path, models: Path) -> None:
    for name in KIT:
        files = json.loads((kit / "expected" / f"{name}.json").read_text())["files"]
        assert sorted(with_matrix(files, "/imatrix")) == sorted(KIT_TYPES)
    files = json.loads((models / "tinyrust" / "expected.json").read_text())["files"]
    assert sorted(with_matrix(files, " with imatrix")) == sorted(TRAINED_TYPES)
    assert set(KIT_TYPES) | set(TRAINED_TYPES) <= set(FTYPES)


@pytest.mark.parametrize("name", KIT)
def test_kit_models_have_llama_quantizes_files(
    name: str, kit: Path, checkpoint: Folder, beside: Folder, check_gguf: CheckGguf, tmp_path: Path
) -> None:
    """Whole files: the key-values about the matrix too, in their places."""
    expected = json.loads((kit / "expected" / f"{name}.json").read_text())["files"]
    options = api.Options(types=KIT_TYPES, output=tmp_path / "out", imatrix=beside(name), jobs=1)
    for file in api.convert(str(checkpoint(name)), options).files:
        verdict = check_gguf(name, file.path, file.type, "imatrix", strict=True)
        assert verdict.ok, verdict.output
        assert file.sha256 == expected[f"{file.type}/imatrix"]["file_sha256"]


@pytest.mark.parametrize("type_name", TRAINED_TYPES)
def test_a_trained_model_has_llama_quantizes_bytes(
    type_name: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _without_card(models, tmp_path)
    (tmp_path / "tr").mkdir()
    shutil.copy(models / "tinyrust" / "imatrix.gguf", tmp_path / "tr")
    monkeypatch.chdir(tmp_path)
    options = api.Options(
        types=(type_name,), output=tmp_path / "out", imatrix=Path("tr/imatrix.gguf"), jobs=1
    )
    (file,) = api.convert(str(folder), options).files
    expected = json.loads((models / "tinyrust" / "expected.json").read_text())["files"]
    made = expected[f"{type_name} with imatrix"]
    tensors = {name: tuple(entry) for name, entry in made["tensors"].items()}
    assert digests_of(file.path) == tensors
    assert file.size == made["bytes"]
    last = header_of(file.path).kvs[-len(made["kv"]) :]
    assert [(kv.key, kv.value) for kv in last] == list(made["kv"].items())
    counts = {kv.type for kv in last if kv.key.endswith("_count")}
    assert counts == {"UINT32"}


def _without_card(models: Path, tmp_path: Path) -> Path:
    """The checkpoint as it was when the reference files were made: without a model card."""
    folder = tmp_path / "tinyrust"
    shutil.copytree(models / "tinyrust" / "checkpoint", folder)
    (folder / "README.md").unlink()
    return folder


def test_the_older_format_gives_the_same_tensors(models: Path, tmp_path: Path) -> None:
    """The .dat file of this model has the same means to the last bit, see test_formats_imatrix."""
    expected = json.loads((models / "tinyrust" / "expected.json").read_text())["files"]
    tensors = expected["Q4_0 with imatrix"]["tensors"]
    options = api.Options(
        types=("Q4_0",), output=tmp_path, imatrix=models / "tinyrust" / "imatrix.dat", jobs=1
    )
    (file,) = api.convert(str(models / "tinyrust" / "checkpoint"), options).files
    assert digests_of(file.path) == {name: tuple(entry) for name, entry in tensors.items()}
    kvs = {kv.key: kv.value for kv in header_of(file.path).kvs}
    assert kvs["quantize.imatrix.dataset"] == "calib.txt"
    assert kvs["quantize.imatrix.entries_count"] == 56
    assert kvs["quantize.imatrix.chunks_count"] == 170


@pytest.mark.parametrize("jobs", [1, 2])
def test_tasks_may_be_cut_anywhere_in_a_stack_of_experts(
    jobs: int,
    kit: Path,
    checkpoint: Folder,
    beside: Folder,
    small_tasks: None,
    processes: None,
    tmp_path: Path,
) -> None:
    """Rows of an expert use its own values, in whatever task and process they are."""
    expected = json.loads((kit / "expected" / "mixtral-8x.json").read_text())["files"]
    options = api.Options(
        types=("Q4_0",),
        output=tmp_path / "out",
        imatrix=beside("mixtral-8x"),
        jobs=jobs,
        kernels="numpy",
    )
    (file,) = api.convert(str(checkpoint("mixtral-8x")), options).files
    assert file.sha256 == expected["Q4_0/imatrix"]["file_sha256"]


ZEROS = np.load(DATA / "zero_importance.npz")
ZERO_TYPES = [name for name in ZEROS.files if name not in ("rows", "imatrix")]


@pytest.mark.parametrize("kernels", available())
@pytest.mark.parametrize("name", ZERO_TYPES)
def test_columns_without_importance_become_what_ggml_makes_of_them(name: str, kernels: str) -> None:
    quantizer = load(name, kernels)
    for matrix, expected in zip(ZEROS["imatrix"], ZEROS[name], strict=True):
        np.testing.assert_array_equal(quantizer.quantize(ZEROS["rows"], matrix), expected)


def test_importances_too_large_to_compute_with_are_told_and_survived(
    kit: Path, checkpoint: Folder, tmp_path: Path
) -> None:
    """llama-quantize writes zeros or gives up; here the expert's columns count alike."""
    entries = entries_of(kit / "models" / "mixtral-8x" / "imatrix.gguf")
    source = str(checkpoint("mixtral-8x"))
    name = "blk.1.ffn_down_exps.weight"
    expert = entries[name][0].reshape(8, -1)[3]

    def made(value: float) -> Mapping[str, tuple[str, str]]:
        expert[:] = value
        matrix = write_gguf(tmp_path / f"{value}.gguf", entries)
        options = api.Options(types=("Q4_0",), output=tmp_path / str(value), imatrix=matrix, jobs=1)
        notes = [note for note in api.plan(source, options).notes if "too large" in note]
        assert [name in note and "1.0e+38" in note for note in notes] == [True] * (value > 1)
        (file,) = api.convert(source, options).files
        return digests_of(file.path)

    assert made(1e38) == made(1)
