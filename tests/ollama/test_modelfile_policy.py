"""The Modelfile of every kit model is the one that was reviewed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.kit_models import MODELS
from tests.support.modelfile_policy import GOLDEN, policy


@pytest.fixture(scope="module")
def reviewed() -> dict[str, str]:
    """Name of a model -> its part of the golden."""
    parts = GOLDEN.read_text(encoding="utf-8").split("== ")[1:]
    return {part.partition("\n")[0]: f"== {part}".rstrip("\n") for part in parts}


def test_every_model_was_reviewed(reviewed: dict[str, str]) -> None:
    assert list(reviewed) == [*MODELS, "tinyrust"]


@pytest.mark.parametrize("name", MODELS)
def test_stops_and_parameters_are_those_that_were_reviewed(
    reviewed: dict[str, str], checkpoint: Callable[[str], Path], name: str
) -> None:
    assert policy(name, checkpoint(name)).rstrip("\n") == reviewed[name]


def test_so_are_those_of_a_trained_model(reviewed: dict[str, str], tinyrust: Path) -> None:
    assert policy("tinyrust", tinyrust).rstrip("\n") == reviewed["tinyrust"]
