"""A GGUF file as a model to write again: its key-values and tensors as they are."""

from __future__ import annotations

from quantize.checkpoints.gguf_file import GGUFFile
from quantize.errors import CheckpointError, UnsupportedError
from quantize.formats.kv import KV, string
from quantize.planning.layout import file_order
from quantize.planning.outputs import Model, Output
from quantize.tensors import GGML_TYPES

_FLOATS = {"F32", "F16", "BF16", "F64"}
# Tell of one file what is not true of another; llama-quantize leaves them out.
_DROPPED = ("split.", "quantize.imatrix.")


def model_of_gguf(source: GGUFFile, *, name: str | None = None) -> Model:
    """The file's model. Raises UnsupportedError where weights are quantized already."""
    quantized = [
        weight for weight in source.weights.values() if weight.dtype not in _FLOATS
        and GGML_TYPES[weight.dtype].block_size > 1
    ]  # fmt: skip
    if quantized:
        raise UnsupportedError(
            "quantized-source",
            f"{len(quantized)} tensors are quantized already",
            where=f"{source.file}: {quantized[0].name} is {quantized[0].dtype}",
            reason="quantizing again adds the errors of both types",
            hint="use an F32, F16 or BF16 file of the same model, or its checkpoint",
        )
    kvs = [kv for kv in source.header.kvs if not kv.key.startswith(_DROPPED)]
    outputs = [
        Output(weight.name, weight.shape, (weight.name,))
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
