"""GLM-4.7 Flash: DeepSeek's latent attention, GLM's experts, tokenizer and NextN block."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures.families import deepseek2
from quantize.architectures.families.glm4_moe import GLM4_MOE, NEXTN, block_count
from quantize.architectures.family import TensorRule, on_blocks
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import u32


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    count = block_count(hp)
    return (
        *deepseek2.rules(hp, count),
        *on_blocks(range(hp.block_count, count), NEXTN),
    )


GLM4_MOE_LITE = replace(
    deepseek2.DEEPSEEK2,
    keys=(
        *deepseek2.DEEPSEEK2.keys,
        u32("block_count", block_count),
        u32("nextn_predict_layers", lambda hp: hp.get("num_nextn_predict_layers") or None),
    ),
    rules=_rules,
    unused=lambda hp: ("lm_head.weight",) if hp.get("tie_word_embeddings") else (),
    # llama.cpp runs it as a DeepSeek, but its tokenizer is GLM's.
    vocab_options={"arch_name": GLM4_MOE.arch, **GLM4_MOE.vocab_options},
)
