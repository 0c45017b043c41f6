"""The ggml types that can be written, by name."""

from __future__ import annotations

from quantize.quantizers.base import Quantizer
from quantize.registry import Registry

QUANTIZERS: Registry[Quantizer] = Registry(
    "ggml type",
    {
        "F32": "quantize.quantizers.f32:F32",
        "F16": "quantize.quantizers.f16:F16",
        "BF16": "quantize.quantizers.bf16:BF16",
        "Q8_0": "quantize.quantizers.q8_0:Q8_0",
        "Q5_0": "quantize.quantizers.q5_0:Q5_0",
        "Q5_1": "quantize.quantizers.q5_1:Q5_1",
        "Q4_K": "quantize.quantizers.q4_k:Q4_K",
        "Q5_K": "quantize.quantizers.q5_k:Q5_K",
        "Q6_K": "quantize.quantizers.q6_k:Q6_K",
    },
)
