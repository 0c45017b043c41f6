"""SmolLM 3: Llama's layout; every fourth layer has no RoPE, which llama.cpp knows by itself."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures.families.llama import LLAMA
from quantize.architectures.family import class_defaults

SMOLLM3 = replace(
    LLAMA,
    arch="smollm3",
    defaults=class_defaults(num_key_value_heads=4, rope_theta=2000000.0, rms_norm_eps=1e-6),
)
