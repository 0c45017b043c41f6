"""Types of all tensors of the kit's models: llama-quantize decided, for every file type and option.

Its answers are in tests/data/types/, see scripts/make_type_goldens.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from quantize import api
from quantize.errors import QuantizeError
from quantize.planning.model import Model
from quantize.planning.planner import choices_of
from quantize.recipes import Recipe, Steering, choose, plain
from quantize.recipes.type_option import parse_type
from quantize.verbs.common.preparing import prepare
from tests.support.paths import DATA
from tests.support.recipe_models import RECIPE_MODELS
from tests.support.type_cases import (
    CASES,
    DIGESTED_MODEL,
    STEERED_MODELS,
    Types,
    all_types,
    text_of,
)

Folder = Callable[[str], Path]

GOLDENS = DATA / "types"
MODELS = sorted(path.stem for path in GOLDENS.glob("*.txt"))
# llama-quantize was asked for a dry run, which it never refuses.
ALLOWED = Steering(allow_requantize=True)


def opened(source: Path) -> Model:
    return prepare(str(source), api.Options(types=("F32",), allow_requantize=True)).model


def types_of(model: Model, recipe: Recipe, *, imatrix: bool = False) -> Types:
    choices = choices_of(replace(model, has_imatrix=imatrix), recipe.steered(ALLOWED))
    return {o.name: choice.type for o, choice in zip(model.outputs, choices, strict=True)}


def test_there_is_a_golden_for_every_model_of_the_kit(kit: Path) -> None:
    assert sorted(path.name for path in (kit / "models").iterdir()) == MODELS
    assert sorted(path.stem for path in (GOLDENS / "steered").iterdir()) == sorted(STEERED_MODELS)
    assert sorted(path.stem for path in (GOLDENS / "large").iterdir()) == sorted(RECIPE_MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_all_file_types_give_llama_quantizes_types(checkpoint: Folder, name: str) -> None:
    model = opened(checkpoint(name))
    found = all_types(lambda ftype, imatrix: types_of(model, plain(ftype), imatrix=imatrix))
    assert found == (GOLDENS / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", RECIPE_MODELS)
def test_large_models_get_llama_quantizes_types(name: str) -> None:
    model = RECIPE_MODELS[name]
    tensors = model.tensors()

    def types_of(ftype: str, imatrix: bool) -> Types:  # noqa: FBT001
        choices = choose(plain(ftype), replace(model.facts, has_imatrix=imatrix), tensors)
        return {one.name: choice.type for one, choice in zip(tensors, choices, strict=True)}

    assert all_types(types_of) == (GOLDENS / "large" / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", STEERED_MODELS)
def test_steered_types_are_llama_quantizes(checkpoint: Folder, name: str, tmp_path: Path) -> None:
    models = {"F32": opened(checkpoint(name))}
    for source in {case.source for case in CASES} - {"F32"}:
        options = api.Options(types=(source,), output=tmp_path / source, jobs=1)
        models[source] = opened(api.convert(str(checkpoint(name)), options).files[0].path)
    sections = {
        f"{case.source} -> {case.text}": types_of(models[case.source], parse_type(case.text))
        for case in CASES
    }
    assert text_of(sections) == (GOLDENS / "steered" / f"{name}.txt").read_text()


def test_steered_files_are_llama_quantizes_byte_for_byte(
    checkpoint: Folder, tmp_path: Path
) -> None:
    """From a checkpoint, from files of floats, and from files that are quantized already."""
    folder = checkpoint(DIGESTED_MODEL)
    sources = {"F32": folder}
    for source in {case.source for case in CASES} - {"F32"}:
        options = api.Options(types=(source,), output=tmp_path / source, jobs=1)
        sources[source] = api.convert(str(folder), options).files[0].path
    lines = []
    for number, case in enumerate(CASES):
        options = api.Options(types=(case.text,), output=tmp_path / str(number), jobs=1)
        try:
            made = api.convert(str(sources[case.source]), options).files[0].sha256
        except QuantizeError:
            made = "refused"
        lines.append(f"{made}  {case.source} -> {case.text}")
    golden = (GOLDENS / "digests" / f"{DIGESTED_MODEL}.txt").read_text()
    assert lines == golden.splitlines()
