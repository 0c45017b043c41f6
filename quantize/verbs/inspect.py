"""What a checkpoint or a GGUF file holds, from headers."""

from __future__ import annotations

from quantize.checkpoints.gguf_file import GGUFFile
from quantize.planning.from_checkpoint import model_of
from quantize.sources.opening import open_source
from quantize.verbs.common.results import InspectedTensor, Inspection


def inspect(source: str, token: str | None = None) -> Inspection:
    """The key-values and tensors of a checkpoint or a GGUF file, from headers."""
    opened = open_source(source, token)
    origin = opened.source
    if isinstance(origin, GGUFFile):
        kind, kvs = "gguf", origin.kvs
        arch = kvs.arch or "?"
    else:
        model = model_of(origin)
        kind, kvs, arch = "checkpoint", model.kvs, model.arch
    tensors = tuple(
        InspectedTensor(weight.name, weight.shape, weight.dtype, weight.nbytes)
        for weight in origin.weights.values()
    )
    return Inspection(kind, origin.name, arch, kvs, tensors)
