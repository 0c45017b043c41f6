"""What sentence-transformers puts behind a model: pooling, and modules of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file
from xllamacpp import llama_pooling_type

from quantize import api
from quantize.errors import CheckpointError, UsageError
from tests.support.cousins import Cousin, cousin
from tests.support.engine import NO_FLASH_ATTENTION, embed, serve
from tests.support.saved_again import copied

__all__ = ["cousin"]

F32 = api.Options(types=("F32",), jobs=1)
IDENTITY = "torch.nn.modules.linear.Identity"
WIDTH, BETWEEN = 256, 96
TEXTS = ("The first text.", "Another one, and longer.")


def weight(rows: int, cols: int) -> NDArray[np.float32]:
    values = np.random.default_rng(rows).standard_normal((rows, cols), dtype=np.float32)
    return values / np.float32(np.sqrt(cols))


def add_modules(
    folder: Path, dense: Sequence[Mapping[str, NDArray[Any]]], activation: str = IDENTITY
) -> None:
    """Mean pooling, then Dense modules with these weights in 2_Dense, 3_Dense, ..."""
    folders = ["", "1_Pooling", *(f"{number}_Dense" for number in range(2, 2 + len(dense)))]
    kinds = ["Transformer", "Pooling", *("Dense" for _ in dense)]
    modules = [
        {"idx": index, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(zip(folders, kinds, strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    (folder / "1_Pooling").mkdir(exist_ok=True)
    pooling = {"pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), "utf-8")
    for path, tensors in zip(folders[2:], dense, strict=True):
        (folder / path).mkdir()
        config = {"activation_function": activation}
        (folder / path / "config.json").write_text(json.dumps(config), "utf-8")
        if tensors:
            save_file(dict(tensors), folder / path / "model.safetensors")


def linear(rows: int, cols: int) -> dict[str, NDArray[Any]]:
    return {"linear.weight": weight(rows, cols)}


@pytest.fixture
def gemma(cousin: Callable[[str], Cousin], tmp_path: Path) -> Path:
    """An EmbeddingGemma whose modules are still to be added."""
    return copied(cousin("gemma3-bare").checkpoint, tmp_path)


def test_llama_cpp_projects_the_vectors_of_embedding_gemma(gemma: Path, tmp_path: Path) -> None:
    plain = copied(gemma, tmp_path / "plain")
    add_modules(plain, [])
    add_modules(gemma, [linear(BETWEEN, WIDTH), linear(WIDTH, BETWEEN)])
    before, after = vectors(plain, tmp_path / "a"), vectors(gemma, tmp_path / "b")
    expected = before @ weight(BETWEEN, WIDTH).T @ weight(WIDTH, BETWEEN).T
    assert np.abs(after - expected).max() <= 1e-4 * np.abs(expected).max()


def vectors(folder: Path, output: Path) -> NDArray[np.float64]:
    options = api.Options(types=("F32",), jobs=1, output=output)
    file = api.convert(str(folder), options).files[0].path
    mean = llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    settings = {"embedding": True, "pooling_type": mean, "embd_normalize": -1}
    return np.array(embed(serve(file, **settings, **NO_FLASH_ATTENTION), TEXTS))


def test_projections_are_written_as_they_are(gemma: Path, tmp_path: Path) -> None:
    add_modules(gemma, [linear(BETWEEN, WIDTH), linear(WIDTH, BETWEEN)])
    options = api.Options(types=("F32",), jobs=1, output=tmp_path / "out")
    assert not any("Dense" in note for note in api.plan(str(gemma), F32).notes)
    reader = gguf.GGUFReader(api.convert(str(gemma), options).files[0].path)
    found = {tensor.name: tensor.data for tensor in reader.tensors}
    assert np.array_equal(found["dense_2.weight"], weight(BETWEEN, WIDTH))
    assert np.array_equal(found["dense_3.weight"], weight(WIDTH, BETWEEN))
    sizes = {
        name: reader.fields[f"gemma-embedding.dense_{name}"].contents()
        for name in ("2_feat_in", "2_feat_out", "3_feat_in", "3_feat_out")
    }
    assert [*sizes.values()] == [WIDTH, BETWEEN, BETWEEN, WIDTH]


NO_PLACE: dict[str, tuple[list[dict[str, NDArray[Any]]], str]] = {
    "an activation": ([linear(WIDTH, WIDTH)], "torch.nn.modules.activation.Tanh"),
    "a bias": ([linear(WIDTH, WIDTH) | {"linear.bias": np.ones(WIDTH, np.float32)}], IDENTITY),
    "shorter vectors": ([linear(BETWEEN, WIDTH)], IDENTITY),
    "sizes that do not fit": ([linear(BETWEEN, WIDTH), linear(WIDTH, WIDTH)], IDENTITY),
    "one too many": ([linear(WIDTH, WIDTH)] * 3, IDENTITY),
    "no weights": ([{}], IDENTITY),
    "no matrix": ([{"linear.weight": np.ones(WIDTH, np.float32)}], IDENTITY),
}


@pytest.mark.parametrize("what", NO_PLACE)
def test_what_llama_cpp_has_no_place_for_is_named(what: str, gemma: Path) -> None:
    dense, activation = NO_PLACE[what]
    add_modules(gemma, dense, activation)
    planned = api.plan(str(gemma), F32)
    assert not any(tensor.name.startswith("dense_") for tensor in planned.plans[0].tensors)
    assert any(note.startswith("2_Dense: a module Dense") for note in planned.notes)


def test_other_architectures_have_no_place_for_a_projection(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copied(checkpoint("bert"), tmp_path)
    add_modules(folder, [linear(384, 384)])
    assert any(note.startswith("2_Dense") for note in api.plan(str(folder), F32).notes)
    assert not any("Dense" in note for note in api.plan(str(checkpoint("bert")), F32).notes)


ODD: list[Any] = [[1], {"0": {}}, "x", [{"type": "Pooling"}], [{"type": 1, "path": ""}], [None]]


@pytest.mark.parametrize("modules", ODD, ids=map(str, ODD))
def test_a_list_of_something_else_is_refused(
    modules: Any, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copied(checkpoint("bert"), tmp_path)
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    with pytest.raises(CheckpointError) as caught:
        api.plan(str(folder), F32)
    assert (caught.value.code, caught.value.where) == ("bad-modules", "modules.json")


def pooling_of(folder: Path, kind: str | None, tmp_path: Path) -> tuple[object, bool]:
    """The pooling_type that is written, and whether it is asked for."""
    options = replace(F32, output=tmp_path / f"{kind}", pooling=kind)
    asked = any("--pooling" in note for note in api.plan(str(folder), options).notes)
    file = api.convert(str(folder), options).files[0].path
    field = gguf.GGUFReader(file).fields.get("bert.pooling_type")
    return None if field is None else field.contents(), asked


def test_pooling_that_no_file_names_is_asked_for(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copied(checkpoint("bert"), tmp_path)
    (folder / "modules.json").unlink()
    found = {kind: pooling_of(folder, kind, tmp_path) for kind in (None, "mean", "cls", "last")}
    assert found == {None: (None, True), "mean": (1, False), "cls": (2, False), "last": (3, False)}


def test_the_option_overrules_the_files(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    named, _ = pooling_of(checkpoint("bert"), None, tmp_path)
    assert named in (1, 2, 3)
    assert pooling_of(checkpoint("bert"), "none", tmp_path) == (0, False)


def test_a_kind_of_pooling_that_there_is_not_is_refused(checkpoint: Callable[[str], Path]) -> None:
    with pytest.raises(UsageError) as caught:
        api.plan(str(checkpoint("bert")), api.Options(types=("F16",), pooling="max"))
    assert caught.value.code == "unknown-pooling-option"


def test_a_chat_model_is_not_asked(checkpoint: Callable[[str], Path]) -> None:
    notes = api.plan(str(checkpoint("qwen3-tied")), F32).notes
    assert not any("--pooling" in note for note in notes)
