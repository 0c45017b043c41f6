"""T5, its multilingual and unified variants, and T5 encoders alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.architectures.family import Family, TensorRule, on_blocks, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, u32

# T5Config and its like.
_CLASS: Mapping[str, Any] = {
    "layer_norm_epsilon": 1e-6,
    "relative_attention_num_buckets": 32,
    "decoder_start_token_id": 0,
}


def _attention(source: str, target: str) -> tuple[TensorRule, ...]:
    return (
        *tensor(f"{source}.q", f"{target}_q"),
        *tensor(f"{source}.k", f"{target}_k"),
        *tensor(f"{source}.v", f"{target}_v"),
        *tensor(f"{source}.o", f"{target}_o"),
        # In the first block only, but for UMT5.
        *tensor(f"{source}.relative_attention_bias", f"{target}_rel_b", optional=True),
    )


def _mlp(source: str, target: str, *, gated: bool) -> tuple[TensorRule, ...]:
    up = (
        (*tensor(f"{source}.wi_0", f"{target}_gate"), *tensor(f"{source}.wi_1", f"{target}_up"))
        if gated
        else tensor(f"{source}.wi", f"{target}_up")
    )
    return (*up, *tensor(f"{source}.wo", f"{target}_down"))


def _is_gated(hp: Hparams) -> bool:
    return any(name.endswith(".DenseReluDense.wi_0.weight") for name in hp.shapes)


def _encoder(hp: Hparams) -> tuple[TensorRule, ...]:
    layer, target = "encoder.block.{bid}.layer", "enc.blk.{bid}"
    return (
        TensorRule(_embedding(hp), "token_embd.weight"),
        *tensor("encoder.final_layer_norm", "enc.output_norm"),
        *tensor(f"{layer}.0.layer_norm", f"{target}.attn_norm"),
        *_attention(f"{layer}.0.SelfAttention", f"{target}.attn"),
        *tensor(f"{layer}.1.layer_norm", f"{target}.ffn_norm"),
        *_mlp(f"{layer}.1.DenseReluDense", f"{target}.ffn", gated=_is_gated(hp)),
    )


def _decoder(hp: Hparams) -> tuple[TensorRule, ...]:
    layer, target = "decoder.block.{bid}.layer", "dec.blk.{bid}"
    blocks = (
        *tensor(f"{layer}.0.layer_norm", f"{target}.attn_norm"),
        *_attention(f"{layer}.0.SelfAttention", f"{target}.attn"),
        *tensor(f"{layer}.1.layer_norm", f"{target}.cross_attn_norm"),
        *_attention(f"{layer}.1.EncDecAttention", f"{target}.cross_attn"),
        *tensor(f"{layer}.2.layer_norm", f"{target}.ffn_norm"),
        *_mlp(f"{layer}.2.DenseReluDense", f"{target}.ffn", gated=_is_gated(hp)),
    )
    count = hp.get("num_decoder_layers")
    return (
        *tensor("decoder.final_layer_norm", "dec.output_norm"),
        *on_blocks(range(hp.block_count if count is None else int(count)), blocks),
        *tensor("lm_head", "output", optional=True),
    )


# One table under up to three names, all the same.
_EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


def _embedding(hp: Hparams) -> str:
    return next((name for name in _EMBEDDINGS if name in hp.shapes), _EMBEDDINGS[0])


def _other_embeddings(hp: Hparams) -> tuple[str, ...]:
    return tuple(name for name in _EMBEDDINGS if name != _embedding(hp))


def _both(hp: Hparams) -> tuple[TensorRule, ...]:
    return (*_encoder(hp), *_decoder(hp))


_HEAD_KEYS = (
    u32("context_length", lambda hp: hp.get("n_positions") or 512),
    u32("embedding_length", "d_model"),
    u32("feed_forward_length", "d_ff"),
    u32("block_count", lambda hp: hp.block_count),
)
_ATTENTION_KEYS = (
    u32("attention.head_count", "num_heads"),
    u32("attention.key_length", "d_kv"),
    u32("attention.value_length", "d_kv"),
    f32("attention.layer_norm_epsilon", "layer_norm_epsilon"),
    u32("attention.relative_buckets_count", "relative_attention_num_buckets"),
    f32("attention.layer_norm_rms_epsilon", "layer_norm_epsilon"),
)

T5 = Family(
    arch="t5",
    keys=(
        *_HEAD_KEYS,
        u32("decoder_block_count", "num_decoder_layers"),
        *_ATTENTION_KEYS,
        u32("decoder_start_token_id", "decoder_start_token_id"),
    ),
    rules=_both,
    unused=_other_embeddings,
    prefixes=(),
    defaults=lambda config: {
        **_CLASS,
        "num_decoder_layers": config.get("num_layers"),
    },
    vocab=("t5",),
)
T5_ENCODER = Family(
    arch="t5encoder",
    keys=(*_HEAD_KEYS, *_ATTENTION_KEYS),
    rules=_encoder,
    unused=_other_embeddings,
    prefixes=(),
    defaults=lambda config: _CLASS,
    vocab=("t5",),
)
