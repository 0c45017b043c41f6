"""Memory is bounded whatever the size of the model, and counted over all processes."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from quantize.execution import memory
from quantize.options.run import RunOptions
from tests.support.paths import ROOT
from tests.support.process_memory import measure

# Weights that the larger of two models has more.
MORE = (25600 - 2560) * 8192 + 9 * 512 * 8192
PROGRAM = """
import sys
from pathlib import Path
from quantize.transforms import Stack
from quantize.options.run import RunOptions
from quantize.execution import run
from quantize.planning.model import OutputTensor
from quantize.progress import NullProgress
from tests.support.execution_models import open_checkpoint, plan_of

source = open_checkpoint(Path(sys.argv[1]))
experts = tuple(name for name in source.weights if name.startswith("expert"))
outputs = (
    OutputTensor("token_embd.weight", source.weights["embed"].shape, ("embed",)),
    OutputTensor("blk.0.ffn_up_exps.weight", (len(experts), 512, 8192), experts, Stack()),
)
path = Path(sys.argv[1], "out.gguf")
settings = RunOptions(jobs=2, kernels=sys.argv[2])
run([plan_of(outputs, "Q8_0")], source, [path], settings, NullProgress())
"""


def write_sparse(folder: Path, vocabulary: int, experts: int) -> Path:
    """A checkpoint of zeros that takes no room: nothing is kept of what a file never held."""
    shapes = {"embed": (vocabulary, 8192)}
    shapes |= {f"expert{index}": (512, 8192) for index in range(experts)}
    header, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + offset)
    return folder


@pytest.mark.parametrize("kernels", ["numpy", "numba"])
def test_memory_does_not_grow_with_the_model(tmp_path: Path, kernels: str) -> None:
    """0.3 G weights, an embedding and stacked experts, and a tenth of them."""
    peaks = []
    for name, vocabulary, experts in (("small", 2560, 1), ("large", 25600, 10)):
        folder = write_sparse(tmp_path / name, vocabulary, experts)
        command = [sys.executable, "-c", PROGRAM, str(folder), kernels]
        peaks.append(measure(command, ROOT).resident)
        (folder / "out.gguf").unlink()
    small, large = peaks
    assert large < 600e6
    # A tenth of the bytes that the larger one has more is for what the allocator does with the same
    # requests in another order.
    assert large - small < 0.1 * 2 * MORE


def test_a_large_program_may_convert_without_a_bound_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "_resident", lambda: 5 * 10**9)
    limits = memory.limits_of(RunOptions(jobs=2, kernels="numpy"), weights=10**6)
    assert limits.jobs == 2
    assert limits.budget > 100 * 10**6
