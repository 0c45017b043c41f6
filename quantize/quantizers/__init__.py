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
        "Q4_0": "quantize.quantizers.q4_0:Q4_0",
        "Q4_1": "quantize.quantizers.q4_1:Q4_1",
        "Q5_0": "quantize.quantizers.q5_0:Q5_0",
        "Q5_1": "quantize.quantizers.q5_1:Q5_1",
        "Q8_0": "quantize.quantizers.q8_0:Q8_0",
        "Q2_K": "quantize.quantizers.q2_k:Q2_K",
        "Q3_K": "quantize.quantizers.q3_k:Q3_K",
        "Q4_K": "quantize.quantizers.q4_k:Q4_K",
        "Q5_K": "quantize.quantizers.q5_k:Q5_K",
        "Q6_K": "quantize.quantizers.q6_k:Q6_K",
        "IQ4_NL": "quantize.quantizers.iq4_nl:IQ4_NL",
        "IQ4_XS": "quantize.quantizers.iq4_xs:IQ4_XS",
        "TQ1_0": "quantize.quantizers.tq1_0:TQ1_0",
        "TQ2_0": "quantize.quantizers.tq2_0:TQ2_0",
        "MXFP4": "quantize.quantizers.mxfp4:MXFP4",
    },
)
