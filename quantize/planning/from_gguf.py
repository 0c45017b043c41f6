"""A GGUF file as a model to write again: its key-values and tensors as they are."""

from __future__ import annotations

from quantize.checkpoints.gguf_file import GGUFFile
from quantize.errors import CheckpointError, UsageError
from quantize.formats.kv import KeyValues, string
from quantize.formats.kv_kinds import check_kinds
from quantize.planning.layout import file_order
from quantize.planning.model import Model, OutputTensor
from quantize.tensors import FLOAT_TYPES, StoredTensor


def model_of_gguf(
    source: GGUFFile,
    *,
    name: str | None = None,
    keep_quantized: bool = False,
    keep_split: bool = False,
) -> Model:
    """The file's model. `keep_quantized`: tensors that are quantized already keep their types.

    `keep_split`: each stays in its file, at its place. Raises UsageError if there is only one.
    """
    if keep_split and len(source.headers) == 1:
        raise not_split(source.file)
    check_kinds(source.kvs, source.file)
    files = {file: number for number, file in enumerate(source.headers)}

    def place(tensor: StoredTensor) -> tuple[int, int, int, str]:
        if keep_split:
            return (files[tensor.file], tensor.offset, 0, "")
        return (0, 0, *file_order(tensor.name))

    outputs = [
        OutputTensor(
            tensor.name,
            tensor.shape,
            (tensor.name,),
            exact_type=None if tensor.dtype in FLOAT_TYPES else tensor.dtype,
            stored=tensor.dtype,
            kept=keep_quantized,
            file=files[tensor.file] if keep_split else 0,
        )
        for tensor in sorted(source.tensors.values(), key=place)
    ]
    return Model(name or source.name, _arch(source), _renamed(source.kvs, name), outputs)


def not_split(where: str) -> UsageError:
    return UsageError(
        "not-split",
        "--keep-split is for a GGUF model in several files",
        where=where,
        hint="--split-max-size SIZE",
    )


def _arch(source: GGUFFile) -> str:
    arch = source.kvs.value("general.architecture")
    if not isinstance(arch, str):
        raise CheckpointError(
            "no-architecture",
            "the file does not name its architecture",
            where=f"{source.file}: general.architecture",
            hint="convert the checkpoint that it was made from",
        )
    return arch


def _renamed(kvs: KeyValues, name: str | None) -> KeyValues:
    if name is None:
        return kvs
    return KeyValues(string(kv.key, name) if kv.key == "general.name" else kv for kv in kvs)
