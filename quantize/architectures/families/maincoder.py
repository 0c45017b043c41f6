"""Maincoder: Qwen 3's block."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures.families.qwen3 import QWEN3
from quantize.architectures.keys import COMMON, u32

MAINCODER = replace(
    QWEN3,
    arch="maincoder",
    keys=(*COMMON, u32("rope.dimension_count", "head_dim")),
    vocab=("spm", "spm-json", "bpe"),
)
