"""Tests that need ../shared: texts and templates that other people wrote. `make test-shared`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the checkout, or $QUANTIZE_SHARED."""
    folder = Path(os.environ.get("QUANTIZE_SHARED", ROOT.parent / "shared")).resolve()
    if not folder.is_dir():
        pytest.fail(f"{folder} is missing; set QUANTIZE_SHARED, or run: make test")
    return folder
