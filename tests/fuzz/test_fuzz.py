"""Some cases of `make fuzz`, the same each time in CI."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from quantize import api
from tests.support.fuzzing import fuzz_folder, fuzz_gguf

CASES = 40
# In CI the same cases each time; elsewhere others, whose seed the test's name has.
SEED = 7 if "CI" in os.environ else random.SystemRandom().randrange(10**6)


@pytest.mark.parametrize("name", ["qwen3-tied", "bert"])
def test_a_mutated_checkpoint_ends_without_a_traceback(
    name: str, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    moment = random.Random(SEED)  # noqa: S311 - cases, no secrets
    hits = [fuzz_folder(checkpoint(name), tmp_path, moment) for _ in range(CASES)]
    assert not list(filter(None, hits)), f"seed {SEED}"


def test_a_mutated_gguf_file_ends_without_a_traceback(
    checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    options = api.Options(types=("Q8_0",), output=tmp_path / "made")
    file = api.convert(str(checkpoint("qwen3-tied")), options).files[0].path
    moment = random.Random(SEED)  # noqa: S311 - cases, no secrets
    hits = [fuzz_gguf(file, tmp_path, moment) for _ in range(CASES)]
    assert not list(filter(None, hits)), f"seed {SEED}"
