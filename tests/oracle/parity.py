"""What llama.cpp computes with our F32 file, beside what transformers computes.

How far the two may be apart is measured in parts of the largest reference value, by the coarsest
rounding on llama.cpp's way that transformers does not do. Keys and values are kept as float32 and
flash attention is off (tests.support.engine.EXACT).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xllamacpp
from numpy.typing import NDArray

from quantize import api
from tests.support.engine import EXACT, VECTORS, log_probabilities, serve, token_vectors

Values = NDArray[np.float64]

ALLOWED = {
    # Sums in another order: 2**-23 each, and some dozens of them on the longest way.
    "float32": 2.0**-16,
    # ggml's CPU code looks GELU up in a table from float16 to float16: 2**-11 twice, in every
    # layer, enlarged by the norms behind it.
    "float16": 2.0**-6,
    # ggml rounds what is multiplied with MXFP4 weights to Q8_0: 2**-8 of a block's largest value.
    "Q8_0": 2.0**-5,
}
# By GGUF architecture; all others round to float32 only.
ROUNDING = {
    **dict.fromkeys(
        (
            "bert", "bloom", "falcon", "gemma", "gemma-embedding", "gemma2", "gemma3", "gemma3n",
            "gpt2", "gptneox", "mpt", "phi2", "starcoder", "starcoder2", "t5encoder",
        ),
        "float16",
    ),
    "gpt-oss": "Q8_0",
}  # fmt: skip

# The server decodes this encoder unless it is told.
SETTINGS: dict[str, dict[str, Any]] = {
    "t5encoder": {"attention_type": xllamacpp.llama_attention_type.LLAMA_ATTENTION_TYPE_NON_CAUSAL},
}


@dataclass(frozen=True, slots=True)
class Reference:
    """`values` (positions, vocabulary or hidden): log-probabilities or, if `vectors`, those."""

    ids: Sequence[int]
    values: Values
    vectors: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parity:
    """`difference`: the largest; `scale`: the largest reference value, both absolute."""

    arch: str
    difference: float
    scale: float

    @property
    def rounding(self) -> str:
        return ROUNDING.get(self.arch, "float32")

    @property
    def allowed(self) -> float:
        return self.scale * ALLOWED[self.rounding]

    @property
    def holds(self) -> bool:
        # A difference that is not a number is none that is allowed.
        return self.difference <= self.allowed


def read_reference(folder: Path, name: str) -> Reference:
    file = folder / f"{name}.npz"
    if not file.exists():
        pytest.fail(f"transformers computes nothing: {file.with_suffix('.txt').read_text('utf-8')}")
    with np.load(file) as content:
        vectors = "vectors" in content
        values = content["vectors" if vectors else "log_probabilities"].astype(np.float64)
        notes = tuple(str(note) for note in content["notes"])
        return Reference(content["ids"].tolist(), values, vectors, notes)


def compare(checkpoint: Path, reference: Reference, output: Path) -> Parity:
    """Convert the checkpoint to F32 and evaluate every position of the reference's text."""
    # llama.cpp's servers live in this process and would count against the default bound.
    options = api.Options(types=("F32",), output=output, jobs=1, max_memory=8 * 10**9)
    converted = api.convert(str(checkpoint), options)
    arch, file = converted.source.arch, converted.files[0].path
    settings = {**EXACT, **SETTINGS.get(arch, {})}
    if reference.vectors:
        found = token_vectors(serve(file, **settings, **VECTORS), reference.ids)
    else:
        server = serve(file, **settings)
        ends = range(1, len(reference.ids) + 1)
        found = np.stack([log_probabilities(server, reference.ids[:end]) for end in ends])
    difference = float(np.abs(found - reference.values).max())
    return Parity(arch, difference, float(np.abs(reference.values).max()))
