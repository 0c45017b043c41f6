"""The examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from quantize import api
from tests.support.paths import ROOT

MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "quantize").rglob("*.py"))
    if ">>> " in path.read_text("utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(
    name: str, checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They run in a folder with a checkpoint, `my-model`, and with the names of the API."""
    shutil.copytree(checkpoint("qwen3-tied"), tmp_path / "my-model")
    monkeypatch.chdir(tmp_path)
    names = {each: getattr(api, each) for each in api.__all__} | {"Path": Path}
    found = doctest.testmod(importlib.import_module(name), extraglobs=names)
    assert found.attempted > 0
    assert found.failed == 0
