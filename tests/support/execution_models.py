"""Models for the tests of the engine: small checkpoints with every kind of transform, and plans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantize.checkpoints import checkpoint
from quantize.checkpoints.checkpoint import Checkpoint
from quantize.execution import Written, run
from quantize.formats.kv import KeyValues, string
from quantize.options.run import RunOptions
from quantize.planning.layout import lay_out
from quantize.planning.model import Model, OutputTensor
from quantize.planning.plan import Plan
from quantize.progress import NullProgress
from quantize.quantizers import QUANTIZERS
from quantize.recipes import Choice, plain
from quantize.storage.local import LocalFolder
from quantize.tensors import as_rows
from quantize.transforms import Add, Join, Part, PermuteRope, Stack, Transpose, apply_whole, chain

VALUES = np.linspace(1, 8, 16, dtype="<f4")

# name -> shape of the source's tensors
SHAPES = {
    "embed": (300, 512),
    "norm": (512,),
    "q": (256, 512),
    "bias": (256,),
    "expert.0": (64, 512),
    "expert.1": (64, 512),
    "gate_up": (128, 512),
    "conv": (512, 256),
}

OUTPUTS = (
    OutputTensor("token_embd.weight", (300, 512), ("embed",)),
    OutputTensor("output_norm.weight", (512,), ("norm",), Add(1.0)),
    OutputTensor("rope_freqs.weight", (16,), values=VALUES.tobytes()),
    OutputTensor("blk.0.attn_q.weight", (256, 512), ("q",), PermuteRope(8)),
    OutputTensor("blk.0.attn_q.bias", (256,), ("bias",), PermuteRope(8)),
    OutputTensor("blk.0.ffn_gate_exps.weight", (2, 64, 512), ("expert.0", "expert.1"), Stack()),
    OutputTensor("blk.0.ffn_up.weight", (64, 512), ("gate_up",), Part(1, 2)),
    OutputTensor("blk.0.joined.weight", (384, 512), ("q", "gate_up"), Join()),
    OutputTensor("blk.0.conv.weight", (256, 512), ("conv",), chain(Transpose(), Add(0.5))),
    OutputTensor("blk.0.one.weight", (1, 64, 512), ("expert.1",), Stack()),
)


def bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Cut to bfloat16: what a test stores need not be rounded well."""
    return (np.ascontiguousarray(values).view(np.uint32) >> 16).astype(np.uint16)


def write_checkpoint(folder: Path, tensors: dict[str, NDArray[np.float32]]) -> Path:
    """A folder with one safetensors file that stores `tensors` as BF16."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    header: dict[str, object] = {}
    offset = 0
    for name, values in tensors.items():
        end = offset + 2 * values.size
        header[name] = {
            "dtype": "BF16", "shape": list(values.shape), "data_offsets": [offset, end]
        }  # fmt: skip
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for values in tensors.values():
            file.write(bf16(values).tobytes())
    return folder


def weights(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    return {name: random.standard_normal(shape, dtype=np.float32) for name, shape in SHAPES.items()}


def open_checkpoint(folder: Path) -> Checkpoint:
    return checkpoint.open_checkpoint(LocalFolder(folder), "model")


def plan_of(outputs: Sequence[OutputTensor], type: str, max_size: int | None = None) -> Plan:
    """All tensors of more than one dimension in the ggml type `type`, the others in F32."""
    choices = [Choice(type if len(output.shape) > 1 else "F32", "test") for output in outputs]
    kvs = (string("general.architecture", "llama"), string("general.name", type))
    model = Model("model", "llama", KeyValues(kvs), outputs, max_size=max_size)
    return lay_out(model, plain("Q4_K_M"), choices)


def expected(plan: Plan, source: Checkpoint) -> bytes:
    """A plan's files behind each other, made the plain way: whole tensors, one after another."""
    file = bytearray(plan.size)
    for one in plan.files:
        file[one.start : one.start + len(one.header)] = one.header
    for tensor in plan.tensors:
        if tensor.values is None:
            made = apply_whole(tensor.transform, [_whole(source, name) for name in tensor.sources])
        else:
            made = np.frombuffer(tensor.values, "<f4").copy()
        rows = made.reshape(tensor.rows, tensor.cols)
        data = QUANTIZERS[tensor.type].quantize(rows).tobytes()
        file[tensor.offset : tensor.offset + tensor.nbytes] = data
    return bytes(file)


def _whole(source: Checkpoint, name: str) -> NDArray[np.float32]:
    shape = source.weights[name].shape
    return source.decode_rows(name, 0, as_rows(shape)[0]).reshape(shape)


class Watcher(NullProgress):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.total = -1
        self.done = 0
        self.items: list[str] = []
        self.notes: list[str] = []
        self.finished = False

    def start(self, stage: str, total: int) -> None:
        self.total = total

    def advance(self, nbytes: int, item: str) -> None:
        self.done += nbytes
        self.items.append(item)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def finish(self) -> None:
        self.finished = True


NUMPY = RunOptions(jobs=1, kernels="numpy")


def convert(plan: Plan, source: Checkpoint, folder: Path, settings: RunOptions = NUMPY) -> Written:
    (written,) = run([plan], source, [folder / "out.gguf"], settings, NullProgress())
    return written
