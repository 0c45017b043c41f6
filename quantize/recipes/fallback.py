"""What a tensor gets whose rows are not a whole number of blocks."""

from __future__ import annotations

from quantize.tensors import GGML_TYPES

# Source: src/llama-quant.cpp of llama.cpp, tensor_type_fallback. 256-blocks to 32-blocks.
_SMALLER_BLOCKS = {
    "IQ1_S": "IQ4_NL",
    "IQ1_M": "IQ4_NL",
    "IQ2_XXS": "IQ4_NL",
    "IQ2_XS": "IQ4_NL",
    "IQ2_S": "IQ4_NL",
    "IQ3_XXS": "IQ4_NL",
    "IQ3_S": "IQ4_NL",
    "IQ4_XS": "IQ4_NL",
    "Q2_K": "Q4_0",
    "Q3_K": "Q4_0",
    "TQ1_0": "Q4_0",
    "TQ2_0": "Q4_0",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}


def falls_back(wanted: str) -> bool:
    """Whether llama-quantize has another type for rows that `wanted` does not fit."""
    return wanted in _SMALLER_BLOCKS or GGML_TYPES[wanted].block_size <= 32


def fitting(wanted: str, cols: int) -> tuple[str, str | None]:
    """`wanted`, or the nearest type that rows of `cols` fit, and how it came to that."""
    kind = GGML_TYPES[wanted]
    if kind.fits(cols):
        return wanted, None
    found = _SMALLER_BLOCKS.get(wanted, wanted)
    if not GGML_TYPES[found].fits(cols):
        found = "F16"
    return found, f"row of {cols} is not a multiple of {kind.block_size}: {wanted} -> {found}"
