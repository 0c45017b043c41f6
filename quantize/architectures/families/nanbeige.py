"""Nanbeige 4: Llama whose blocks run several times over."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures.families.llama import LLAMA
from quantize.architectures.keys import boolean, u32

NANBEIGE = replace(
    LLAMA,
    arch="nanbeige",
    keys=(
        *LLAMA.keys,
        u32("num_loops", lambda hp: max(int(hp.get("num_loops") or 1), 1)),
        boolean("skip_loop_final_norm", lambda hp: hp.get("skip_loop_final_norm") or False),
    ),
)
