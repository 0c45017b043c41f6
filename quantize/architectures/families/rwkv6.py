"""RWKV 6 (Finch), and RWKV 6 time mixing in a Qwen 2 (QRWKV)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, biased, on_blocks, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, u32
from quantize.transforms import (
    IDENTITY,
    Join,
    PermuteBlocks,
    Refold,
    Reshape,
    Scale,
    Transform,
    Transpose,
    chain,
)

_ATTENTION = "blocks.{bid}.attention"
_FFN = "blocks.{bid}.feed_forward"
_MIX = "blk.{bid}.time_mix"
_CHANNEL = "blk.{bid}.channel_mix"

# Vectors are stored as (1, 1, n).
VECTOR = Refold((-1,))


def _time_mixing(source: str, order: Transform = IDENTITY) -> tuple[TensorRule, ...]:
    """How a token is mixed with the one before, and the decay. `order`: of the five low ranks."""
    fused = tuple(f"{source}.time_maa_{letter}" for letter in "wkvrg")
    return (
        TensorRule(f"{source}.time_maa_x", f"{_MIX}_lerp_x.weight", VECTOR),
        TensorRule(fused, f"{_MIX}_lerp_fused.weight", chain(Join(), Reshape((5, 1, 1, -1)))),
        TensorRule(f"{source}.time_maa_w1", f"{_MIX}_w1.weight", chain(Transpose(), order)),
        TensorRule(
            f"{source}.time_maa_w2", f"{_MIX}_w2.weight", chain(Transpose((0, 2, 1)), order)
        ),
        TensorRule(f"{source}.time_decay", f"{_MIX}_decay.weight", VECTOR),
        TensorRule(f"{source}.time_decay_w1", f"{_MIX}_decay_w1.weight", Transpose()),
        TensorRule(f"{source}.time_decay_w2", f"{_MIX}_decay_w2.weight", Transpose()),
    )


def _rwkv6(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *tensor("embeddings", "token_embd"),
        *biased("blocks.0.pre_ln", "token_embd_norm"),
        *biased("ln_out", "output_norm"),
        *tensor("head", "output"),
        *biased("blocks.{bid}.ln1", "blk.{bid}.attn_norm"),
        *biased("blocks.{bid}.ln2", "blk.{bid}.attn_norm_2"),
        *_time_mixing(_ATTENTION),
        TensorRule(f"{_ATTENTION}.time_faaaa", f"{_MIX}_first.weight"),
        *tensor(f"{_ATTENTION}.receptance", f"{_MIX}_receptance"),
        *tensor(f"{_ATTENTION}.key", f"{_MIX}_key"),
        *tensor(f"{_ATTENTION}.value", f"{_MIX}_value"),
        *tensor(f"{_ATTENTION}.gate", f"{_MIX}_gate"),
        *biased(f"{_ATTENTION}.ln_x", f"{_MIX}_ln"),
        TensorRule(f"{_FFN}.time_maa_k", f"{_CHANNEL}_lerp_k.weight", VECTOR),
        TensorRule(f"{_FFN}.time_maa_r", f"{_CHANNEL}_lerp_r.weight", VECTOR),
        *tensor(f"{_FFN}.key", f"{_CHANNEL}_key"),
        *tensor(f"{_FFN}.receptance", f"{_CHANNEL}_receptance"),
        *(rule for bid in range(hp.block_count) for rule in _rescaled(hp, bid)),
    )


def _rescaled(hp: Hparams, bid: int) -> tuple[TensorRule, ...]:
    """What goes into the stream is halved every so many blocks, against overflow in float16."""
    every = int(hp["rescale_every"])
    scale: Transform = Scale(0.5 ** (bid // every)) if every > 0 else IDENTITY
    rules = (
        *tensor(f"{_ATTENTION}.output", f"{_MIX}_output", scale),
        *tensor(f"{_FFN}.value", f"{_CHANNEL}_value", scale),
    )
    return on_blocks((bid,), rules)


def _mlp_size(hp: Hparams) -> int:
    size = hp.get("intermediate_size")
    return int(hp.n_embd * 3.5) // 32 * 32 if size is None else int(size)


# No limit of the model's own.
ENDLESS = u32("context_length", lambda hp: 2**20)
# llama.cpp wants the key, but there is no attention.
NO_HEADS = u32("attention.head_count", lambda hp: 0)

RWKV6 = Family(
    arch="rwkv6",
    keys=(
        ENDLESS,
        u32("embedding_length", "hidden_size"),
        u32("block_count", lambda hp: hp.block_count),
        f32("attention.layer_norm_epsilon", "layer_norm_epsilon"),
        u32("rescale_every_n_layers", "rescale_every"),
        u32("wkv.head_size", "head_size"),
        u32("time_mix_extra_dim", lambda hp: 64 if hp.n_embd == 4096 else 32),
        u32("time_decay_extra_dim", lambda hp: 128 if hp.n_embd == 4096 else 64),
        u32("feed_forward_length", _mlp_size),
        NO_HEADS,
    ),
    rules=_rwkv6,
    prefixes=("rwkv.",),
    vocab=("rwkv",),
)


def _qwen(hp: Hparams) -> tuple[TensorRule, ...]:
    source = "layers.{bid}.self_attn"
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.UNTIED_HEAD,
        *decoder.NORMS,
        # Low ranks come as r, k, v, w, g; llama.cpp wants RWKV 6's w, k, v, r, g.
        *_time_mixing(source, PermuteBlocks((3, 1, 2, 0, 4))),
        *tensor(f"{source}.q_proj", f"{_MIX}_receptance"),
        *tensor(f"{source}.k_proj", f"{_MIX}_key"),
        *tensor(f"{source}.v_proj", f"{_MIX}_value"),
        *tensor(f"{source}.gate", f"{_MIX}_gate"),
        *tensor(f"{source}.o_proj", f"{_MIX}_output"),
        *decoder.MLP,
    )


def _rank(name: str, small: int) -> Callable[[Hparams], Any]:
    return lambda hp: hp.get(name, 2 * small if hp.n_embd >= 4096 else small)


RWKV6_QWEN2 = Family(
    arch="rwkv6qwen2",
    keys=(
        ENDLESS,
        u32("embedding_length", "hidden_size"),
        u32("block_count", lambda hp: hp.block_count),
        u32("wkv.head_size", lambda hp: hp.n_embd // hp.n_head),
        u32("time_mix_extra_dim", _rank("lora_rank_tokenshift", 32)),
        u32("time_decay_extra_dim", _rank("lora_rank_decay", 64)),
        u32("feed_forward_length", "intermediate_size"),
        f32("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
        u32("token_shift_count", lambda hp: 1),
        u32("attention.head_count_kv", "num_key_value_heads"),
        NO_HEADS,
    ),
    rules=_qwen,
    vocab=("spm", "spm-json", "bpe"),
)
