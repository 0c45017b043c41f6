"""Nemotron models cut from Llama 3 (DeciLM): every block has its own heads and MLP, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, class_defaults, on_blocks, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import array, f32, u32
from quantize.errors import UnsupportedError
from quantize.transforms import PermuteRope

_LAYER = "layers.{bid}"
_MLP = (*tensor(f"{_LAYER}.post_attention_layernorm", "blk.{bid}.ffn_norm"), *decoder.MLP)
_NORM = tensor(f"{_LAYER}.input_layernorm", "blk.{bid}.attn_norm")
_LINEAR = (*_NORM, *tensor(f"{_LAYER}.self_attn.linear_attn", "blk.{bid}.attn_output"))


def _blocks(hp: Hparams) -> Sequence[Mapping[str, Any]]:
    if "block_configs" not in hp:
        raise UnsupportedError(
            "deci-without-blocks",
            "a DeciLM whose config.json does not describe its blocks cannot be converted",
            where="config.json: block_configs",
            reason="only the models that NVIDIA cut from Llama 3 are known",
        )
    blocks: Sequence[Mapping[str, Any]] = hp["block_configs"]
    return blocks


def _heads_kv(hp: Hparams) -> list[int]:
    groups = [block["attention"]["n_heads_in_group"] for block in _blocks(hp)]
    return [0 if group is None else hp.n_head // group for group in groups]


def _heads(hp: Hparams) -> list[int]:
    """None where there is no attention; all where a linear layer replaces it."""
    return [
        hp.n_head if heads_kv or block["attention"]["replace_with_linear"] else 0
        for heads_kv, block in zip(_heads_kv(hp), _blocks(hp), strict=True)
    ]


def _mlp_sizes(hp: Hparams) -> list[int]:
    """Two thirds of the multiplied width, rounded up to 256; 0 where there is no MLP."""
    multipliers = [block["ffn"]["ffn_mult"] or 0.0 for block in _blocks(hp)]
    return [-(-int(2 * multiplier * hp.n_embd / 3) // 256) * 256 for multiplier in multipliers]


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    blocks: list[TensorRule] = []
    sizes = zip(_heads(hp), _heads_kv(hp), _mlp_sizes(hp), strict=True)
    for bid, (heads, heads_kv, mlp) in enumerate(sizes):
        if heads_kv:
            attention = decoder.attention(PermuteRope(heads), PermuteRope(heads_kv))
            blocks += on_blocks((bid,), (*_NORM, *attention))
        elif heads:
            blocks += on_blocks((bid,), _LINEAR)
        blocks += on_blocks((bid,), _MLP) if mlp else ()
    return (*decoder.EMBEDDING, *decoder.OUTPUT_NORM, *decoder.HEAD, *blocks)


def _head_size(hp: Hparams) -> int:
    return hp.n_embd // hp.n_head


DECI = Family(
    arch="deci",
    keys=(
        f32("rope.freq_base", lambda hp: hp.full_rope.get("rope_theta")),
        array("attention.head_count_kv", "INT32", _heads_kv),
        array("attention.head_count", "INT32", _heads),
        array("feed_forward_length", "INT32", _mlp_sizes),
        u32("block_count", lambda hp: hp.block_count),
        u32("context_length", "max_position_embeddings"),
        u32("embedding_length", "hidden_size"),
        f32("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
        u32("attention.key_length", _head_size),
        u32("attention.value_length", _head_size),
        u32("vocab_size", "vocab_size"),
        u32("rope.dimension_count", lambda hp: hp.head_dim),
    ),
    rules=_rules,
    generated=decoder.llama3_rope_freqs,
    defaults=class_defaults(rope_theta=10000.0, rms_norm_eps=1e-6),
    vocab=("spm-json", "bpe"),
)
