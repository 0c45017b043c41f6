"""The checkpoint that the tests of the engine read."""

from __future__ import annotations

import pytest

from quantize.checkpoints.checkpoint import Checkpoint
from tests.support.execution_models import open_checkpoint, weights, write_checkpoint


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(write_checkpoint(tmp_path_factory.mktemp("model"), weights()))
