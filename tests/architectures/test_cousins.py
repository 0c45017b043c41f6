"""Whole files against llama.cpp's, for the architectures that the kit has no model of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from quantize import api
from quantize.architectures import ARCHITECTURES
from tests.support.cousins import COUSINS, Cousin, cousin
from tests.support.kit_models import DEVIATING
from tests.support.paths import DATA

__all__ = ["cousin"]

TYPES = ("F32", "Q4_K_M")


@pytest.mark.parametrize("name", COUSINS)
def test_files_equal_those_of_llama_cpp(
    name: str, cousin: Callable[[str], Cousin], tmp_path: Path
) -> None:
    model = cousin(name)
    options = api.Options(types=TYPES, output=tmp_path, jobs=1, strict_parity=name in DEVIATING)
    converted = api.convert(str(model.checkpoint), options)
    verdicts = [model.check(file.path, file.type) for file in converted.files]
    assert all(one.ok for one in verdicts), "".join(one.output for one in verdicts)


def test_every_architecture_name_is_proved(kit: Path, cousin: Callable[[str], Cousin]) -> None:
    """By a model of the kit or by a cousin: no name is claimed for its likeness to another."""
    proved = {cousin(name).architecture for name in COUSINS}
    for path in (kit / "models").glob("*/config.json"):
        proved.update(json.loads(path.read_text("utf-8"))["architectures"])
    assert set(ARCHITECTURES) == proved


def test_every_cousin_has_its_description() -> None:
    assert {path.stem for path in (DATA / "cousins").glob("*.toml")} == set(COUSINS)
