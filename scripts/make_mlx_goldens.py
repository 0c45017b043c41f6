"""Ask MLX what its words, scales and biases stand for.

Writes tests/data/mlx.npz: for each number of bits, group size and dtype of the scales `words`
(rows, words), `scales` and `biases` (rows, groups) as stored (BF16 as 16-bit words), and the
float32 `values` (rows, cols) that MLX makes of them. Needs `pip install 'mlx[cpu]' numpy`.

python scripts/make_mlx_goldens.py
"""

from __future__ import annotations

import itertools
from pathlib import Path

import mlx.core as mx
import numpy as np

FILE = Path(__file__).parent.parent / "tests" / "data" / "mlx.npz"
ROWS, COLS = 3, 256
BITS = (2, 3, 4, 5, 6, 8)
GROUPS = (32, 64, 128)
DTYPES = {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}


def main() -> None:
    goldens: dict[str, np.ndarray] = {}
    for bits, group, dtype in itertools.product(BITS, GROUPS, DTYPES):
        mx.random.seed(bits)
        weights = mx.random.normal((ROWS, COLS)).astype(DTYPES[dtype])
        weights[0, :group] = 0  # a group without range
        words, scales, biases = mx.quantize(weights, group_size=group, bits=bits)
        wide = (part.astype(mx.float32) for part in (scales, biases))
        values = mx.dequantize(words, *wide, group_size=group, bits=bits)
        parts = {"words": words, "scales": stored(scales), "biases": stored(biases)}
        for name, part in (parts | {"values": values}).items():
            goldens[f"{bits}-{group}-{dtype}-{name}"] = np.array(part)
    np.savez_compressed(FILE, allow_pickle=False, **goldens)


def stored(part: mx.array) -> mx.array:
    return part.view(mx.uint16) if part.dtype == mx.bfloat16 else part


if __name__ == "__main__":
    main()
