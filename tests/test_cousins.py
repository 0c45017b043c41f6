"""Whole files against llama.cpp's, for the architectures that the kit has no model of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quantize import api
from tests.conftest import DATA
from tests.cousins import COUSINS, Cousin, cousin

__all__ = ["cousin"]

TYPES = ("F32", "Q4_K_M")


@pytest.mark.parametrize("name", COUSINS)
def test_files_equal_those_of_llama_cpp(
    name: str, cousin: Callable[[str], Cousin], tmp_path: Path
) -> None:
    model = cousin(name)
    options = api.Options(types=TYPES, output=tmp_path, jobs=1)
    converted = api.convert(str(model.checkpoint), options)
    verdicts = [model.check(file.path, file.type) for file in converted.files]
    assert all(one.ok for one in verdicts), "".join(one.output for one in verdicts)


def test_every_cousin_has_an_architecture_of_its_own(cousin: Callable[[str], Cousin]) -> None:
    """A name counts as proved by the model that is of it."""
    names = [cousin(name).architecture for name in COUSINS]
    assert len(set(names)) == len(names)


def test_every_description_has_its_archive() -> None:
    archives = (DATA / "cousins").glob("*.tar.xz")
    assert {path.name.removesuffix(".tar.xz") for path in archives} == set(COUSINS)
