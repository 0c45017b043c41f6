"""Ask ggml for golden blocks of the types that the conformance kit has none of.

Writes tests/data/blocks/TYPE.npz: what ggml makes of the kit's golden rows, and, of types that the
gguf package does not decode, how ggml decodes it. Needs `pip install -e .[oracle]`.

    python scripts/make_block_goldens.py [SHARED]        default: ../shared beside the checkout
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ggml import Ggml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from quantize.tensors import GGML_TYPES  # noqa: E402 (found by the line above)

FOLDER = ROOT / "tests" / "data" / "blocks"
TAKE_IMATRIX = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")
GGUF_CANNOT_DECODE = ("NVFP4", "Q1_0", "Q2_0")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write tests/data/blocks/*.npz.")
    parser.add_argument("shared", nargs="?", type=Path, default=ROOT.parent / "shared")
    kit = np.load(parser.parse_args().shared / "conformance" / "blocks" / "Q4_K.npz")
    ggml = Ggml()
    FOLDER.mkdir(exist_ok=True)
    for name in (*TAKE_IMATRIX, *GGUF_CANNOT_DECODE):
        kind = GGML_TYPES[name]
        golden: dict[str, Any] = {}
        if not ggml.needs_imatrix(kind):
            golden["expected"] = ggml.quantize(kind, kit["rows"])
        if name in TAKE_IMATRIX:
            matrices = [ggml.quantize(kind, kit["rows"], matrix) for matrix in kit["imatrix"]]
            golden["expected_imatrix"] = np.stack(matrices)
        if name in GGUF_CANNOT_DECODE:
            golden["decoded"] = ggml.dequantize(kind, golden["expected"])
        np.savez_compressed(FOLDER / f"{name}.npz", **golden)
        print(FOLDER / f"{name}.npz")


if __name__ == "__main__":
    main()
