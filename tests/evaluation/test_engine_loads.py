"""llama.cpp loads what is made of every model, and computes finite numbers with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quantize import api
from tests.support.cousins import COUSINS, Cousin, cousin
from tests.support.engine import (
    NO_FLASH_ATTENTION,
    NON_CAUSAL,
    VECTORS,
    log_probabilities,
    serve,
    token_vectors,
)
from tests.support.kit_models import MODELS
from tests.support.paths import ROOT

__all__ = ["cousin"]

# A small type in which every weight matrix is stored otherwise than in the checkpoint.
TYPE = "Q8_0"
IDS = range(20, 28)

# GGUF architectures that the engine stops at, and the words in which it does.
REFUSED = {
    # An encoder and a decoder, which this server does not run one after the other.
    "t5": "llama_encode must be called first",
}
# Settings that the engine needs for an architecture.
SETTINGS = {
    # Flash attention is on by itself, and has no place for PLM's values, shorter than its keys.
    "plm": NO_FLASH_ATTENTION,
}

LOAD = """
import sys, pathlib
from tests.support.engine import serve
serve(pathlib.Path(sys.argv[1]))
"""


@pytest.mark.parametrize("name", MODELS)
def test_a_kit_model_computes(name: str, checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    check_that_it_computes(checkpoint(name), tmp_path)


@pytest.mark.parametrize("name", COUSINS)
def test_a_cousin_computes(name: str, cousin: Callable[[str], Cousin], tmp_path: Path) -> None:
    check_that_it_computes(cousin(name).checkpoint, tmp_path)


def check_that_it_computes(checkpoint: Path, output: Path) -> None:
    # llama.cpp's servers live in this process and would count against the default bound.
    options = api.Options(types=(TYPE,), output=output, jobs=1, max_memory=8 * 10**9)
    converted = api.convert(str(checkpoint), options)
    arch, path = converted.source.arch, converted.files[0].path
    if arch in REFUSED:
        assert REFUSED[arch] in last_words(path)
    elif arch in NON_CAUSAL:
        assert np.isfinite(token_vectors(serve(path, **VECTORS), IDS)).all()
    else:
        assert np.isfinite(log_probabilities(serve(path, **SETTINGS.get(arch, {})), IDS)).all()


def last_words(file: Path) -> str:
    """What llama.cpp says when it aborts, which takes the whole process with it."""
    run = subprocess.run(
        [sys.executable, "-c", LOAD, str(file)],
        cwd=ROOT,
        env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode < 0, "llama.cpp loads it now"
    return run.stderr
