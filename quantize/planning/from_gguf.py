"""A GGUF file as a model to write again: its key-values and tensors as they are."""

from __future__ import annotations

from quantize.checkpoints.gguf_file import GGUFFile
from quantize.errors import CheckpointError
from quantize.formats.kv import KV, string
from quantize.planning.layout import file_order
from quantize.planning.outputs import Model, Output

_FLOATS = {"F32", "F16", "BF16"}
# What is written is one file; llama-quantize leaves these out.
_DROPPED = "split."


def model_of_gguf(source: GGUFFile, *, name: str | None = None, keep_grid: bool = False) -> Model:
    """The file's model. `keep_grid`: tensors that are quantized already keep their types."""
    kvs = [kv for kv in source.header.kvs if not kv.key.startswith(_DROPPED)]
    outputs = [
        Output(
            weight.name,
            weight.shape,
            (weight.name,),
            grid=None if weight.dtype in _FLOATS else weight.dtype,
            stored=weight.dtype,
            bound=keep_grid,
        )
        for weight in sorted(source.weights.values(), key=lambda weight: file_order(weight.name))
    ]
    return Model(name or source.name, _arch(source, kvs), tuple(_renamed(kvs, name)), outputs)


def _arch(source: GGUFFile, kvs: list[KV]) -> str:
    arch = next((kv.value for kv in kvs if kv.key == "general.architecture"), None)
    if not isinstance(arch, str):
        raise CheckpointError(
            "no-architecture",
            "the file does not name its architecture",
            where=f"{source.file}: general.architecture",
            hint="convert the checkpoint that it was made from",
        )
    return arch


def _renamed(kvs: list[KV], name: str | None) -> list[KV]:
    if name is None:
        return kvs
    return [string(kv.key, name) if kv.key == "general.name" else kv for kv in kvs]
