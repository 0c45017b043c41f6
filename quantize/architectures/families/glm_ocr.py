"""GLM-OCR: GLM-4V's decoder with a block that predicts the token after the next one."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures import decoder
from quantize.architectures.families.glm4 import GLM4V, block_rules
from quantize.architectures.families.glm4_moe import NEXTN, block_count
from quantize.architectures.family import TensorRule, on_blocks
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import u32


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    blocks = range(block_count(hp))
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *on_blocks(blocks, block_rules(hp)),
        *on_blocks(blocks[hp.block_count :], NEXTN),
    )


GLM_OCR = replace(
    GLM4V,
    keys=(
        *GLM4V.keys,
        u32("block_count", block_count),
        u32("nextn_predict_layers", "num_nextn_predict_layers"),
    ),
    rules=_rules,
)
