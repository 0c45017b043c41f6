"""Ling (Bailing) mixtures of experts, 1 and 2."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.families.glm4 import rotary_dimensions
from quantize.architectures.family import Family, TensorRule, class_defaults, on_blocks, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, boolean, f32, u32
from quantize.errors import UnsupportedError
from quantize.transforms import PermuteRope, Span, chain

_ATTENTION = "layers.{bid}.attention"
_QKV = f"{_ATTENTION}.query_key_value"


def _common(hp: Hparams) -> tuple[TensorRule, ...]:
    dense = int(hp["first_k_dense_replace"])
    return (
        *tensor("word_embeddings", "token_embd"),
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *decoder.NORMS,
        *tensor(f"{_ATTENTION}.dense", "blk.{bid}.attn_output"),
        *on_blocks(range(dense), decoder.MLP),
        *on_blocks(range(dense, hp.block_count), (*decoder.MOE, *decoder.SHARED_EXPERTS)),
    )


def _bailing(hp: Hparams) -> tuple[TensorRule, ...]:
    if hp.get("norm_head"):
        raise UnsupportedError(
            "norm-head",
            "a head that is normalised when it is used cannot be converted",
            where="config.json: norm_head",
            reason="llama.cpp's converter normalises its weights in no specified order",
        )
    head = hp.head_dim
    k, v = hp.n_head * head, (hp.n_head + hp.n_head_kv) * head
    source = f"{_QKV}.weight"
    return (
        *_common(hp),
        TensorRule(source, "blk.{bid}.attn_q.weight", chain(Span(0, k), PermuteRope(hp.n_head))),
        TensorRule(source, "blk.{bid}.attn_k.weight", chain(Span(k, v), PermuteRope(hp.n_head_kv))),
        TensorRule(source, "blk.{bid}.attn_v.weight", Span(v, v + hp.n_head_kv * head)),
    )


def _bailing2(hp: Hparams) -> tuple[TensorRule, ...]:
    if hp.get("num_nextn_predict_layers"):
        raise UnsupportedError(
            "bailing-nextn",
            "layers that predict further tokens cannot be converted for this architecture",
            where="config.json: num_nextn_predict_layers",
        )
    moe = range(int(hp["first_k_dense_replace"]), hp.block_count)
    bias = TensorRule(
        "layers.{bid}.mlp.gate.expert_bias", "blk.{bid}.exp_probs_b.bias", optional=True
    )
    return (
        *_common(hp),
        *tensor(_QKV, "blk.{bid}.attn_qkv"),
        *tensor(f"{_ATTENTION}.query_layernorm", "blk.{bid}.attn_q_norm"),
        *tensor(f"{_ATTENTION}.key_layernorm", "blk.{bid}.attn_k_norm"),
        *on_blocks(moe, (bias,)),
    )


def _shared_size(hp: Hparams) -> int:
    return int(
        hp.get("moe_shared_expert_intermediate_size")
        or hp["moe_intermediate_size"] * hp["num_shared_experts"]
    )


_SIZES = (
    u32("leading_dense_block_count", "first_k_dense_replace"),
    u32("vocab_size", "vocab_size"),
    u32("expert_feed_forward_length", "moe_intermediate_size"),
)
_SHARED = (
    u32("expert_shared_count", "num_shared_experts"),
    boolean("expert_weights_norm", "norm_topk_prob"),
)

BAILING = Family(
    arch="bailingmoe",
    keys=(
        *COMMON,
        u32("rope.dimension_count", lambda hp: hp.head_dim),
        *_SIZES,
        f32("expert_weights_scale", lambda hp: 1.0),
        *_SHARED,
    ),
    rules=_bailing,
    defaults=class_defaults(),
)
BAILING2 = Family(
    arch="bailingmoe2",
    keys=(
        *COMMON,
        u32("rope.dimension_count", rotary_dimensions),
        *_SIZES,
        u32("expert_shared_feed_forward_length", _shared_size),
        f32("expert_weights_scale", "routed_scaling_factor"),
        *_SHARED,
        u32("nextn_predict_layers", "num_nextn_predict_layers"),
    ),
    rules=_bailing2,
    defaults=class_defaults(),
)
