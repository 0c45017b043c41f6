"""Real weights through a real engine: what we write loads in llama.cpp and makes sense."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from quantize import api
from quantize.formats.gguf_read import read_header
from tests.support.engine import continue_text, embed, serve

# The most frequent words of any English text.
_COMMON = frozenset({
    "the", "of", "and", "a", "to", "in", "is", "that", "it", "for", "as", "with", "be", "this",
    "on", "are", "by", "or", "an", "not", "from", "can", "at", "which", "you", "if",
})  # fmt: skip

TYPES = (
    "F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K_S",
    "Q4_1", "Q4_0", "IQ4_NL", "IQ4_XS", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K", "TQ1_0", "TQ2_0",
)  # fmt: skip


def test_tinyrust_has_llama_quantizes_bytes_in_every_type(
    tinyrust: Path, models: Path, tmp_path: Path
) -> None:
    expected = json.loads((models / "tinyrust" / "expected.json").read_text())["files"]
    converted = api.convert(str(tinyrust), api.Options(types=TYPES, output=tmp_path))
    for file in converted.files:
        assert _digests(file.path) == {
            name: tuple(entry) for name, entry in expected[file.type]["tensors"].items()
        }, file.type


def test_tinyrust_continues_english(tinyrust: Path, tmp_path: Path) -> None:
    (file,) = api.convert(str(tinyrust), api.Options(types=("Q4_K_M",), output=tmp_path)).files
    server = serve(file.path)
    text = " ".join(
        continue_text(server, prompt, 40)
        for prompt in ("A closure is", "In Rust, a variable", "The compiler will")
    )
    words = re.findall(r"[a-z]+", text.lower())
    # In running English every third word is one of these; tokens drawn at random give none.
    assert len(words) > 40
    assert sum(word in _COMMON for word in words) > len(words) / 5, text


@pytest.mark.parametrize(("type_name", "least"), [("F16", 0.999), ("Q8_0", 0.99)])
def test_minilm_embeds_as_transformers_does(
    type_name: str, least: float, minilm: Path, models: Path, tmp_path: Path
) -> None:
    (file,) = api.convert(str(minilm), api.Options(types=(type_name,), output=tmp_path)).files
    reference = json.loads((models / "minilm" / "reference_embeddings.json").read_text())
    vectors = np.array(embed(serve(file.path, embedding=True), reference["texts"]))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    # The reference vectors have length 1.
    similarities = (vectors * np.array(reference["vectors"])).sum(axis=1)
    assert similarities.min() >= least


def _digests(file: Path) -> dict[str, tuple[str, str]]:
    data = file.read_bytes()
    header = read_header(lambda offset, n: data[offset : offset + n], len(data), file.name)
    return {
        tensor.name: (
            tensor.dtype,
            hashlib.sha256(data[tensor.offset : tensor.offset + tensor.nbytes]).hexdigest(),
        )
        for tensor in header.tensors.values()
    }
