"""What a checkpoint or a GGUF file holds, from headers."""

from __future__ import annotations

from quantize.planning.from_checkpoint import model_of
from quantize.sources.opening import open_source
from quantize.verbs.common.results import InspectedTensor, Inspection


def inspect(source: str, token: str | None = None) -> Inspection:
    """The key-values and tensors of a checkpoint or a GGUF file, from headers.

    >>> inspect("my-model").arch
    'qwen3'
    """
    opened = open_source(source, token)
    origin = opened.source
    kvs = origin.kvs if origin.kind == "gguf" else model_of(origin).kvs
    tensors = tuple(
        InspectedTensor(weight.name, weight.shape, weight.dtype, weight.nbytes)
        for weight in origin.weights.values()
    )
    return Inspection(origin.kind, origin.name, kvs.arch or "?", kvs, tensors)
