"""Golden blocks: rows and what ggml makes of them. The kit has them for most types, we for more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.support.paths import DATA

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]

# Types whose golden file has blocks made with an importance matrix.
WEIGHTED = [
    "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS",
    "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S",
]  # fmt: skip
NEEDY = ["IQ1_S", "IQ2_XS", "IQ2_XXS"]  # those that ggml does not make without one

OURS = DATA / "blocks"  # written by scripts/make_block_goldens.py


@dataclass(frozen=True, slots=True)
class Golden:
    """`rows` is `(n, 512)`, `labels` says what each row is.

    `expected` is `(n, nbytes)`, or None where the type needs an importance matrix; `weighted` has
    the pairs of a matrix `(512,)` and what comes out with it. `decoded` is `(n, 512)`, known where
    the gguf package cannot decode the type.
    """

    rows: F32Array
    labels: NDArray[np.str_]
    expected: U8Array | None
    weighted: list[tuple[F32Array, U8Array]]
    decoded: F32Array | None

    def data(self) -> U8Array:
        """Blocks to decode."""
        return self.weighted[0][1] if self.expected is None else self.expected

    def wrong(self, data: U8Array, expected: U8Array) -> list[str]:
        """Labels of the rows that differ."""
        return [str(label) for label in self.labels[(data != expected).any(axis=1)]]


def golden_blocks(kit: Path, name: str) -> Golden:
    """The golden blocks of a ggml type."""
    ours = OURS / f"{name}.npz"
    blocks = np.load(ours if ours.is_file() else kit / "blocks" / f"{name}.npz")
    inputs = np.load(kit / "blocks" / "Q4_K.npz")  # every file of the kit has the same rows
    weighted = []
    if "expected_imatrix" in blocks:
        weighted = list(zip(inputs["imatrix"], blocks["expected_imatrix"], strict=True))
    known = dict(blocks)
    return Golden(
        inputs["rows"], inputs["labels"], known.get("expected"), weighted, known.get("decoded")
    )
