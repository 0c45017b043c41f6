"""A BERT that classifies: llama.cpp computes what transformers does, with the pooler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from xllamacpp import llama_pooling_type

from quantize import api
from tests.support.cousins import Cousin, cousin
from tests.support.engine import NO_FLASH_ATTENTION, VECTORS, embed, serve, token_vectors

__all__ = ["cousin"]

TEXT = "a text"
RANKING = {
    "embedding": True,
    "pooling_type": llama_pooling_type.LLAMA_POOLING_TYPE_RANK,
    "embd_normalize": -1,
}


def file_of(checkpoint: Path, output: Path, *, strict: bool = False) -> Path:
    options = api.Options(types=("F32",), output=output, jobs=1, strict_parity=strict)
    return api.convert(str(checkpoint), options).files[0].path


def test_a_classifier_sees_the_pooled_vector(
    cousin: Callable[[str], Cousin], tmp_path: Path
) -> None:
    """BertForSequenceClassification: classifier(tanh(pooler(first token)))."""
    checkpoint = cousin("bert-classifier").checkpoint
    file = file_of(checkpoint, tmp_path)
    ids = Tokenizer.from_file(str(checkpoint / "tokenizer.json")).encode(TEXT).ids
    first = token_vectors(serve(file, **VECTORS, **NO_FLASH_ATTENTION), ids)[0]
    weights = load_file(checkpoint / "model.safetensors")
    pooled = np.tanh(layer(weights, "bert.pooler.dense", first))
    expected = layer(weights, "classifier", pooled)
    # llama.cpp's server hands out as many numbers as a vector has; the classes come first.
    (found,) = embed(serve(file, **RANKING, **NO_FLASH_ATTENTION), [TEXT])
    assert np.allclose(found[: len(expected)], expected, rtol=1e-4, atol=1e-5)
    assert not np.allclose(expected, layer(weights, "classifier", first), rtol=0.1)


def layer(
    weights: dict[str, NDArray[np.float32]], name: str, vector: NDArray[np.float64]
) -> NDArray[np.float64]:
    product: NDArray[np.float64] = weights[f"{name}.weight"] @ vector + weights[f"{name}.bias"]
    return product


def test_strict_parity_leaves_the_pooler_out(
    cousin: Callable[[str], Cousin], tmp_path: Path
) -> None:
    checkpoint = cousin("bert-classifier").checkpoint
    names = {}
    for strict in (True, False):
        file = file_of(checkpoint, tmp_path / f"{strict}", strict=strict)
        names[strict] = {tensor.name for tensor in gguf.GGUFReader(file).tensors}
    assert names[False] - names[True] == {"cls.weight", "cls.bias"}
    assert names[True] < names[False]
