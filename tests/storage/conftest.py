"""The model that the tests of the Hub convert: in several files, and some of its weights BF16."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quantize import api

MODEL = "llama-sharded-mixed"
NAME = f"org/{MODEL}"


@pytest.fixture(scope="session")
def folder(checkpoint: Callable[[str], Path]) -> Path:
    return checkpoint(MODEL)


@pytest.fixture(scope="session")
def expected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the file that the folder becomes."""
    local = tmp_path_factory.mktemp("local")
    options = api.Options(types=("Q8_0",), output=local, kernels="numpy")
    return api.convert(str(folder), options).files[0].sha256
