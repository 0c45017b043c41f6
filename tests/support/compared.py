"""A model in two types, to be compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quantize import api

MODEL = "llama2-spm"


@pytest.fixture(scope="session")
def made(
    checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The model as F32 and as Q4_K_M, under its own name."""
    folder = tmp_path_factory.mktemp("made")
    options = api.Options(types=("F32", "Q4_K_M"), output=folder, kernels="numpy")
    files = api.convert(str(checkpoint(MODEL)), options).files
    return {file.type: file.path for file in files}
