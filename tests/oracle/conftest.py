"""References: what transformers computes, in an environment of its own, for each checkpoint."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.oracle.parity import Reference, read_reference
from tests.support.cousins import Cousin, cousin
from tests.support.kit_models import MODELS

__all__ = ["cousin"]

PROGRAM = Path(__file__).parents[2] / "scripts" / "reference_logits.py"
PYTHON = "QUANTIZE_REFERENCE_PYTHON"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", type=Path, help="write the results to this file, as Markdown")


@pytest.fixture(scope="session")
def any_checkpoint(
    checkpoint: Callable[[str], Path], cousin: Callable[[str], Cousin]
) -> Callable[[str], Path]:
    """The checkpoint of a kit model or a cousin."""
    return lambda name: checkpoint(name) if name in MODELS else cousin(name).checkpoint


@pytest.fixture(scope="session")
def reference(
    request: pytest.FixtureRequest,
    any_checkpoint: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Reference]:
    """transformers' answer for a model: computed for all selected tests in one run of PROGRAM."""
    if PYTHON not in os.environ:
        pytest.fail(f"{PYTHON} names no Python that has transformers; run: make oracle-logits")
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    names = sorted({str(call.params["name"]) for call in calls if call and "name" in call.params})
    output = tmp_path_factory.mktemp("reference")
    folders = [str(any_checkpoint(name)) for name in names]
    subprocess.run([os.environ[PYTHON], str(PROGRAM), str(output), *folders], check=True)
    return lambda name: read_reference(output, name)
