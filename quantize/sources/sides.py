"""One side of a comparison: what a file holds, or what a file made of a checkpoint would hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from quantize.checkpoints.base import Weight
from quantize.checkpoints.checkpoint import Checkpoint
from quantize.checkpoints.gguf_file import GGUFFile
from quantize.checkpoints.source import Source, SourceKind
from quantize.errors import UnsupportedError
from quantize.formats.kv import KeyValues
from quantize.planning.from_checkpoint import model_of
from quantize.planning.layout import written_shape
from quantize.planning.model import Model, OutputTensor
from quantize.planning.plan import PlannedTensor
from quantize.planning.shapes import check_shapes
from quantize.quantizers import QUANTIZERS
from quantize.sources.opening import OpenedModel, open_source
from quantize.tensors import DTYPE_SIZES, GGML_TYPES, count, tensor_nbytes


@dataclass(frozen=True, slots=True)
class Side:
    """Tensors have GGUF's names and shapes on either side, so that they can be paired.

    `types` says how each is stored: a ggml type, a dtype, or the name of an encoding;
    `nbytes_by_type` how many bytes of the source are stored so.
    """

    opened: OpenedModel
    kind: SourceKind
    arch: str
    kvs: KeyValues
    tensors: Mapping[str, PlannedTensor]
    types: Mapping[str, str]
    nbytes_by_type: Mapping[str, int]

    @property
    def n_params(self) -> int:
        """Number of elements of all tensors."""
        return sum(count(tensor.shape) for tensor in self.tensors.values())


def open_side(text: str, token: str | None = None) -> Side:
    """Open a GGUF file, or a checkpoint with everything that a conversion would do to it.

    Reads headers only. Raises UnsupportedError for tensors that cannot be decoded.
    """
    opened = open_source(text, token)
    source = opened.source
    return _file(opened, source) if source.kind == "gguf" else _checkpoint(opened, source)


def _file(opened: OpenedModel, file: GGUFFile) -> Side:
    for weight in file.weights.values():
        _check_decodable(file, weight)
    outputs = [OutputTensor(name, weight.shape, (name,)) for name, weight in file.weights.items()]
    return _side(opened, Model(file.name, file.kvs.arch or "?", file.kvs, outputs), "gguf")


def _checkpoint(opened: OpenedModel, checkpoint: Checkpoint) -> Side:
    model = model_of(checkpoint)
    check_shapes(model)
    return _side(opened, model, "checkpoint")


def _side(opened: OpenedModel, model: Model, kind: SourceKind) -> Side:
    weights = opened.source.weights
    types = {output.name: stored_types(opened.source, output.sources) for output in model.outputs}
    used = {name for output in model.outputs for name in output.sources}
    sizes: dict[str, int] = {}
    for weight in (weight for name, weight in weights.items() if name in used):
        stored_as = _stored_as(weight)
        sizes[stored_as] = sizes.get(stored_as, 0) + weight.nbytes
    tensors = {output.name: _decoded(output) for output in model.outputs}
    return Side(opened, kind, model.arch, model.kvs, tensors, types, sizes)


def _decoded(output: OutputTensor) -> PlannedTensor:
    """The tensor as its values are, before any type: nothing of this is written."""
    shape = written_shape(output.shape)
    return PlannedTensor(
        name=output.name,
        shape=shape,
        type="F32",
        reason="decoded",
        offset=0,
        nbytes=tensor_nbytes("F32", shape),
        sources=output.sources,
        transform=output.transform,
        full_shape=output.shape,
        values=output.values,
        fixed_nbytes=output.fixed_nbytes,
    )


def stored_types(source: Source, names: Iterable[str]) -> str:
    """How weights are stored: dtypes, ggml types, or names of encodings; F32 if there are none."""
    return ", ".join(sorted({_stored_as(source.weights[name]) for name in names})) or "F32"


def _stored_as(weight: Weight) -> str:
    return weight.dtype if weight.encoding in ("plain", "gguf") else weight.encoding


def _check_decodable(file: GGUFFile, weight: Weight) -> None:
    if weight.dtype not in QUANTIZERS and weight.dtype not in DTYPE_SIZES:
        raise UnsupportedError(
            "undecodable-type",
            f"{weight.dtype} cannot be decoded",
            where=f"{file.file}: {weight.name}",
            reason="its values cannot be compared without that",
            hint="compare files of the types that `quantize types` lists",
        )
    if len(weight.shape) < 2 and GGML_TYPES[weight.dtype].block_size > 1:
        raise UnsupportedError(
            "quantized-vector",
            f"{weight.dtype} for a tensor of one dimension",
            where=f"{file.file}: {weight.name}",
            reason="no quantizer writes vectors so, and llama.cpp computes with none",
            hint="convert the checkpoint again",
        )
