"""Ask ggml what it makes of columns that an importance matrix gives nothing.

Writes tests/data/zero_importance.npz: rows, matrices with zeros in several places, and for each
ggml type that takes a matrix the blocks of each. Needs `pip install -e .[oracle]`.

    python scripts/make_zero_goldens.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ggml import Ggml
from numpy.typing import NDArray

from quantize.tensors import GGML_TYPES

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "tests" / "data" / "zero_importance.npz"
TYPES = (
    "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS",
    "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S",
)  # fmt: skip
COLS = 512


def matrices(chance: np.random.Generator) -> NDArray[np.float32]:
    """All zero; a block of 256 zero; of 32; of 16; every seventh; all but one."""
    found = chance.random((6, COLS), np.float32)
    found[0] = 0
    found[1, :256] = 0
    found[2, 64:96] = 0
    found[3, 272:288] = 0
    found[4, ::7] = 0
    found[5, np.arange(COLS) != 300] = 0
    return found


def main() -> None:
    chance = np.random.default_rng(8661)
    rows = chance.standard_normal((4, COLS), np.float32) * np.float32(0.05)
    rows[1, 128:384] = 0
    rows[2] *= np.float32(1000)
    rows[3] = np.abs(rows[3])
    imatrix = matrices(chance)
    ggml = Ggml()
    blocks: dict[str, Any] = {
        name: np.stack([ggml.quantize(GGML_TYPES[name], rows, one) for one in imatrix])
        for name in TYPES
    }
    np.savez_compressed(FILE, rows=rows, imatrix=imatrix, **blocks)
    print(f"{FILE}: {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
