"""LFM2: short convolutions in most blocks, attention in some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, class_defaults, on_blocks, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, boolean, u32
from quantize.architectures.pooling import POOLING
from quantize.transforms import Reshape


def operator_rules(hp: Hparams) -> tuple[TensorRule, ...]:
    """All of a block but the MLP, and what is around the blocks."""
    types = hp["layer_types"]
    conv = [bid for bid, kind in enumerate(types) if kind == "conv"]
    attention = [bid for bid, kind in enumerate(types) if kind != "conv"]
    depthwise = Reshape((-1, int(hp["conv_L_cache"])))
    return (
        *decoder.EMBEDDING,
        *tensor("embedding_norm", "token_embd_norm"),  # despite its name after the last block
        *decoder.HEAD,
        *tensor("layers.{bid}.operator_norm", "blk.{bid}.attn_norm"),
        *tensor("layers.{bid}.ffn_norm", "blk.{bid}.ffn_norm"),
        *on_blocks(
            conv,
            (
                TensorRule(
                    "layers.{bid}.conv.conv.weight", "blk.{bid}.shortconv.conv.weight", depthwise
                ),
                *tensor("layers.{bid}.conv.in_proj", "blk.{bid}.shortconv.in_proj"),
                *tensor("layers.{bid}.conv.out_proj", "blk.{bid}.shortconv.out_proj"),
            ),
        ),
        *on_blocks(
            attention,
            (
                *tensor("layers.{bid}.self_attn.q_layernorm", "blk.{bid}.attn_q_norm"),
                *tensor("layers.{bid}.self_attn.k_layernorm", "blk.{bid}.attn_k_norm"),
                *tensor("layers.{bid}.self_attn.q_proj", "blk.{bid}.attn_q"),
                *tensor("layers.{bid}.self_attn.k_proj", "blk.{bid}.attn_k"),
                *tensor("layers.{bid}.self_attn.v_proj", "blk.{bid}.attn_v"),
                *tensor("layers.{bid}.self_attn.out_proj", "blk.{bid}.attn_output"),
            ),
        ),
    )


MLP = (
    *tensor("layers.{bid}.feed_forward.w1", "blk.{bid}.ffn_gate"),
    *tensor("layers.{bid}.feed_forward.w2", "blk.{bid}.ffn_down"),
    *tensor("layers.{bid}.feed_forward.w3", "blk.{bid}.ffn_up"),
)


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (*operator_rules(hp), *MLP)


def _feed_forward_length(hp: Hparams) -> int:
    """Two thirds of the nominal width, times a factor, rounded up (modeling_lfm2, Lfm2MLP)."""
    width = int(hp.first("block_ff_dim", "intermediate_size"))
    if not hp["block_auto_adjust_ff_dim"]:
        return width
    width = 2 * width // 3
    if hp["block_ffn_dim_multiplier"] is not None:
        width = int(hp["block_ffn_dim_multiplier"] * width)
    multiple = int(hp["block_multiple_of"])
    return -(-width // multiple) * multiple


def heads_kv(hp: Hparams) -> list[int]:
    return [0 if kind == "conv" else hp.n_head_kv for kind in hp["layer_types"]]


def _layer_types(config: Mapping[str, Any]) -> list[str]:
    count = config["num_hidden_layers"]
    attention = config.get("full_attn_idxs")
    if attention is None:  # transformers 5 writes a null where layer_types says it
        attention = range(count)
    return ["full_attention" if bid in attention else "conv" for bid in range(count)]


LFM2 = Family(
    arch="lfm2",
    keys=(
        *COMMON,
        u32("attention.head_count_kv", heads_kv),
        u32("vocab_size", "vocab_size"),
        u32("shortconv.l_cache", "conv_L_cache"),
        u32("feed_forward_length", _feed_forward_length),
    ),
    rules=_rules,
    defaults=class_defaults(
        intermediate_size=lambda config: config.get("block_ff_dim", 12288),
        num_key_value_heads=8,
        rope_theta=lambda config: config.get("theta", 1000000.0),
        norm_eps=1e-5,
        conv_L_cache=3,
        block_multiple_of=256,
        block_ffn_dim_multiplier=1.0,
        block_auto_adjust_ff_dim=True,
        layer_types=_layer_types,
    ),
)

LFM2_MASKED = replace(
    LFM2,
    keys=(*LFM2.keys, boolean("attention.causal", lambda hp: False), *POOLING),
    prefixes=("lfm2.",),
)
