"""Granite 4 and Bamba: Mamba 2 in most blocks, Granite's attention in some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from quantize.architectures import decoder
from quantize.architectures.families.granite import GRANITE_MOE, mlp_rules
from quantize.architectures.family import Family, TensorRule, on_blocks, tensor
from quantize.architectures.hparams import BLOCK_COUNT, Hparams
from quantize.architectures.keys import boolean, u32
from quantize.architectures.ssm import mamba2_mixer
from quantize.transforms import PermuteRope


def attention_blocks(config: Mapping[str, Any]) -> list[int]:
    """From the list of types, of numbers, or from offset and period, the first that is there."""
    types = config.get("layer_types")
    if types:
        # transformers 5.2 and later save it under a longer name.
        return [bid for bid, kind in enumerate(types) if kind in ("attention", "full_attention")]
    found = config.get("attn_layer_indices")
    if found:
        return list(found)
    period, offset = config.get("attn_layer_period"), config.get("attn_layer_offset")
    count = next(int(config[name]) for name in BLOCK_COUNT if name in config)
    return [bid for bid in range(count) if period and bid % period == offset]


def mamba_blocks(hp: Hparams) -> list[int]:
    attention = attention_blocks(hp)
    return [bid for bid in range(hp.block_count) if bid not in attention]


def _blocks(hp: Hparams) -> tuple[TensorRule, ...]:
    mixer = mamba2_mixer(
        "layers.{bid}.mamba", kernel=int(hp["mamba_d_conv"]), groups=int(hp["mamba_n_groups"])
    )
    return (
        *on_blocks(mamba_blocks(hp), mixer),
        *on_blocks(
            attention_blocks(hp),
            decoder.attention(PermuteRope(hp.n_head), PermuteRope(hp.n_head_kv)),
        ),
    )


def _granite(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *decoder.NORMS,
        *_blocks(hp),
        *mlp_rules(hp),
    )


def _bamba(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *tensor("final_layernorm", "output_norm"),
        *decoder.HEAD,
        *tensor("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
        *tensor("layers.{bid}.pre_ff_layernorm", "blk.{bid}.ffn_norm"),
        *_blocks(hp),
        *decoder.FEED_FORWARD,
    )


def _heads_kv(hp: Hparams) -> list[int]:
    attention = attention_blocks(hp)
    return [hp.n_head_kv if bid in attention else 0 for bid in range(hp.block_count)]


_KEYS = (
    *GRANITE_MOE.keys,
    u32("ssm.conv_kernel", "mamba_d_conv"),
    u32("ssm.state_size", "mamba_d_state"),
    u32("ssm.group_count", "mamba_n_groups"),
    u32("ssm.inner_size", lambda hp: int(hp["mamba_expand"]) * hp.n_embd),
    u32("ssm.time_step_rank", "mamba_n_heads"),
    u32("rope.dimension_count", lambda hp: hp.get("attn_rotary_emb") or None),
    u32("attention.head_count_kv", _heads_kv),
)
# llama.cpp uses RoPE in the blocks with attention where this is true.
_WITH_ROPE = (*_KEYS, boolean("rope.scaling.finetuned", lambda hp: True))


def _without_mamba(config: Mapping[str, Any]) -> Family | None:
    """The small models of Granite 4 have attention only, and llama.cpp's Granite runs them."""
    count = next((int(config[name]) for name in BLOCK_COUNT if name in config), 0)
    if not count or len(attention_blocks(config)) < count:
        return None
    arch = "granitemoe" if config.get("num_experts_per_tok") else "granite"
    return replace(GRANITE_HYBRID, arch=arch, keys=_WITH_ROPE, vocab_options={})


# No defaults: llama.cpp's converter reads config.json as it is here.
GRANITE_HYBRID = Family(
    arch="granitehybrid",
    keys=(
        *_KEYS,
        boolean("rope.scaling.finetuned", lambda hp: False),
        u32("context_length", lambda hp: 2**20),  # without positions there is no limit
    ),
    rules=_granite,
    vocab=("spm", "spm-json", "bpe"),
    vocab_options={"pad_multiple": 8},
    variant=_without_mamba,
)

BAMBA = Family(
    arch="granitehybrid",
    keys=_WITH_ROPE,
    rules=_bamba,
    vocab=("spm", "spm-json", "bpe"),
    vocab_options={"pad_multiple": 8},
)
