#!/usr/bin/env python3
"""Compare every quantizer with ggml's C code, byte for byte, on fresh random rows.

    python scripts/oracle.py [--seed N] [--rows N]

The golden blocks of the conformance kit never change; this looks beside them. Exit code 1 where
a byte differs; the seed that is printed brings the same rows back.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Iterator

import numpy as np
from ggml import Ggml
from numpy.typing import NDArray

from quantize.quantizers import QUANTIZERS

COLS = 512  # two blocks of the largest block size

Rows = NDArray[np.float32]


def samples(random: np.random.Generator, n: int) -> Iterator[tuple[str, Rows]]:
    """Kinds of rows that weights come in, and some that they should not, `(n, COLS)` each."""
    normal = random.standard_normal((n, COLS))
    spread = 2.0 ** random.integers(-60, 15, (n, COLS))
    kinds = {
        "normal": normal * 0.02,
        "heavy-tailed": random.standard_t(2, (n, COLS)) * 0.02,
        "a scale of its own for each row": normal * 2.0 ** random.integers(-30, 12, (n, 1)),
        "a scale of its own for each weight": normal * spread,
        "few distinct values": np.round(normal * 2) / 8,
        "one sign": np.abs(normal),
        "mostly zero": normal * (random.random((n, COLS)) < 0.02),
        "subnormal": normal * 1e-40,
    }
    for name, values in kinds.items():
        # Larger ones overflow the scale's float16, which llama-quantize refuses.
        yield name, np.clip(values, -60000, 60000).astype(np.float32)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--rows", type=int, default=2000, help="of each kind")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    ggml = Ggml()
    wrong = 0
    for type_name in QUANTIZERS:
        quantizer = QUANTIZERS[type_name]
        random = np.random.default_rng(arguments.seed)
        for sample, rows in samples(random, arguments.rows):
            importance = random.random(COLS, np.float32) ** 4
            for matrix in (None, importance):
                if matrix is None and ggml.needs_imatrix(quantizer.type):
                    continue
                ours = quantizer.quantize(rows, matrix)
                theirs = ggml.quantize(quantizer.type, rows, matrix)
                bad = np.flatnonzero((ours != theirs).any(axis=1))
                wrong += len(bad)
                if len(bad):
                    case = sample if matrix is None else f"{sample}, with an importance matrix"
                    print(f"{type_name}, {case}: {len(bad)} rows differ, the first is {bad[0]}")
        print(f"{type_name} compared", flush=True)
    print(f"{wrong} rows differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
