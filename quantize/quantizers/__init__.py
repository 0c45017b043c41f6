"""The ggml types that can be written, by name, and who quantizes to them.

NumPy is the reference; compiled twins of some `encode` functions give the same bytes faster.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, cast

from quantize.kernels import available
from quantize.quantizers.base import Quantizer
from quantize.registry import Registry

QUANTIZERS: Registry[Quantizer] = Registry(
    "ggml type",
    "quantize.quantizers",
    {
        "F32": "f32:F32",
        "F16": "f16:F16",
        "BF16": "bf16:BF16",
        "Q4_0": "q4_0:Q4_0",
        "Q4_1": "q4_1:Q4_1",
        "Q5_0": "q5_0:Q5_0",
        "Q5_1": "q5_1:Q5_1",
        "Q8_0": "q8_0:Q8_0",
        "Q2_K": "q2_k:Q2_K",
        "Q3_K": "q3_k:Q3_K",
        "Q4_K": "q4_k:Q4_K",
        "Q5_K": "q5_k:Q5_K",
        "Q6_K": "q6_k:Q6_K",
        "IQ1_S": "iq1_s:IQ1_S",
        "IQ1_M": "iq1_m:IQ1_M",
        "IQ2_XXS": "iq2_xxs:IQ2_XXS",
        "IQ2_XS": "iq2_xs:IQ2_XS",
        "IQ2_S": "iq2_s:IQ2_S",
        "IQ3_XXS": "iq3_xxs:IQ3_XXS",
        "IQ3_S": "iq3_s:IQ3_S",
        "IQ4_NL": "iq4_nl:IQ4_NL",
        "IQ4_XS": "iq4_xs:IQ4_XS",
        "TQ1_0": "tq1_0:TQ1_0",
        "TQ2_0": "tq2_0:TQ2_0",
        "MXFP4": "mxfp4:MXFP4",
        "NVFP4": "nvfp4:NVFP4",
        "Q1_0": "q1_0:Q1_0",
        "Q2_0": "q2_0:Q2_0",
    },
)

TWINS: Registry[Callable[..., Any]] = Registry(
    "compiled ggml type",
    "quantize.quantizers",
    {
        "F16": "compiled:encode_half",
        "BF16": "compiled:encode_bf16",
        "Q4_0": "compiled:encode_q4_0",
        "Q4_1": "compiled:encode_q4_1",
        "Q5_0": "compiled:encode_q5_0",
        "Q5_1": "compiled:encode_q5_1",
        "Q8_0": "compiled:encode_q8_0",
        "Q2_K": "compiled:encode_q2_k",
        "Q3_K": "compiled:encode_q3_k",
        "Q4_K": "compiled:encode_q4_k",
        "Q5_K": "compiled:encode_q5_k",
        "Q6_K": "compiled:encode_q6_k",
        "IQ1_S": "compiled_iq1:encode_iq1_s",
        "IQ1_M": "compiled_iq1:encode_iq1_m",
        "IQ2_XXS": "compiled_grids:encode_iq2_xxs",
        "IQ2_XS": "compiled_grids:encode_iq2_xs",
        "IQ2_S": "compiled_grids:encode_iq2_s",
        "IQ3_XXS": "compiled_grids:encode_iq3_xxs",
        "IQ3_S": "compiled_grids:encode_iq3_s",
        "IQ4_NL": "compiled:encode_iq4_nl",
        "IQ4_XS": "compiled:encode_iq4_xs",
        "TQ1_0": "compiled:encode_tq1_0",
        "TQ2_0": "compiled:encode_tq2_0",
        "MXFP4": "compiled:encode_mxfp4",
    },
)


def load(type_name: str, kernels: str = "numpy") -> Quantizer:
    """The quantizer of a ggml type with the kernels asked for: "numpy" or "numba".

    Types without a twin come with NumPy. Raises KeyError for a type that is not in the table,
    ValueError for kernels that this machine cannot run.
    """
    if kernels not in available():
        raise ValueError(f"no kernels {kernels!r} here; there are: {', '.join(available())}")
    quantizer = QUANTIZERS[type_name]
    if kernels == "numpy" or type_name not in TWINS:
        return quantizer
    # Every type with a twin is a frozen dataclass with that field; the protocol promises less.
    twin: Quantizer = dataclasses.replace(cast(Any, quantizer), encode=TWINS[type_name])
    return twin
