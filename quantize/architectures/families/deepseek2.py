"""DeepSeek V2, V3 and R1: multi-head latent attention, and experts after the first dense blocks.

llama.cpp runs the latent attention as attention with one key-value head of the latent width, so
kv_b_proj is split into what goes into the queries (k_b, transposed) and the values (v_b).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, class_defaults, on_blocks, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, boolean, f32, u32
from quantize.transforms import Reshape, Span, Transpose, chain

_ATTN = "layers.{bid}.self_attn"


def _queries(hp: Hparams) -> tuple[TensorRule, ...]:
    if hp.get("q_lora_rank") is None:
        return tensor(f"{_ATTN}.q_proj", "blk.{bid}.attn_q")
    return (
        *tensor(f"{_ATTN}.q_a_proj", "blk.{bid}.attn_q_a"),
        *tensor(f"{_ATTN}.q_a_layernorm", "blk.{bid}.attn_q_a_norm"),
        *tensor(f"{_ATTN}.q_b_proj", "blk.{bid}.attn_q_b"),
    )


def _keys_and_values(hp: Hparams) -> tuple[TensorRule, ...]:
    nope, rank = int(hp["qk_nope_head_dim"]), int(hp["kv_lora_rank"])
    heads = Reshape((hp.n_head_kv, nope + int(hp["v_head_dim"]), rank))
    k_b = chain(heads, Span(0, nope, dim=1), Transpose((0, 2, 1)))
    v_b = chain(heads, Span(nope, nope + int(hp["v_head_dim"]), dim=1))
    return (
        *tensor(f"{_ATTN}.kv_a_proj_with_mqa", "blk.{bid}.attn_kv_a_mqa"),
        *tensor(f"{_ATTN}.kv_a_layernorm", "blk.{bid}.attn_kv_a_norm"),
        TensorRule(f"{_ATTN}.kv_b_proj.weight", "blk.{bid}.attn_k_b.weight", k_b),
        TensorRule(f"{_ATTN}.kv_b_proj.weight", "blk.{bid}.attn_v_b.weight", v_b),
    )


def rules(hp: Hparams, n_block: int) -> tuple[TensorRule, ...]:
    """The rules with this number of blocks, which may be more than predict the next token."""
    blocks = range(n_block)
    n_dense = int(hp["first_k_dense_replace"])
    correction = "layers.{bid}.mlp.gate.e_score_correction_bias"
    attention = (
        *decoder.NORMS,
        *_queries(hp),
        *_keys_and_values(hp),
        *tensor(f"{_ATTN}.o_proj", "blk.{bid}.attn_output"),
    )
    moe = (
        *decoder.MOE,
        TensorRule(correction, "blk.{bid}.exp_probs_b.bias", optional=True),
        *(decoder.SHARED_EXPERTS if hp.get("n_shared_experts") else ()),
    )
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *(() if hp.get("tie_word_embeddings") else decoder.HEAD),
        *on_blocks(blocks, attention),
        *on_blocks(blocks[:n_dense], decoder.MLP),
        *on_blocks(blocks[n_dense:], moe),
    )


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return rules(hp, hp.block_count)


def _unused(hp: Hparams) -> tuple[str, ...]:
    """The blocks for multi-token prediction after the last one; a copy of a tied head."""
    first, count = hp.block_count, int(hp.get("num_nextn_predict_layers") or 0)
    prediction = tuple(f"layers.{bid}.*" for bid in range(first, first + count))
    return (*prediction, "lm_head.weight") if hp.get("tie_word_embeddings") else prediction


def _dense_blocks(config: Mapping[str, Any]) -> int:
    """How many come before those with experts: without experts all."""
    return 0 if config.get("n_routed_experts") else int(config["num_hidden_layers"])


def _log_multiplier(hp: Hparams) -> float | None:
    scale = hp.rope.get("mscale_all_dim")
    return None if scale is None else 0.1 * scale


DEEPSEEK2 = Family(
    arch="deepseek2",
    keys=(
        *COMMON,
        u32("attention.head_count_kv", lambda hp: 1),
        u32("leading_dense_block_count", "first_k_dense_replace"),
        u32("vocab_size", "vocab_size"),
        u32("attention.q_lora_rank", "q_lora_rank"),
        u32("attention.kv_lora_rank", "kv_lora_rank"),
        u32("attention.key_length", lambda hp: hp["kv_lora_rank"] + hp["qk_rope_head_dim"]),
        u32("attention.value_length", "kv_lora_rank"),
        u32("attention.key_length_mla", lambda hp: hp["qk_nope_head_dim"] + hp["qk_rope_head_dim"]),
        u32("attention.value_length_mla", "v_head_dim"),
        u32("expert_feed_forward_length", "moe_intermediate_size", "intermediate_size"),
        u32("expert_count", "n_routed_experts"),
        u32("expert_shared_count", lambda hp: hp.get("n_shared_experts", 0)),
        f32("expert_weights_scale", "routed_scaling_factor"),
        boolean("expert_weights_norm", lambda hp: hp.get("norm_topk_prob") or None),
        u32("rope.dimension_count", "qk_rope_head_dim"),
        f32("rope.scaling.yarn_log_multiplier", _log_multiplier),
    ),
    rules=_rules,
    unused=_unused,
    defaults=class_defaults(
        # Written where other models write it, then changed to the latent width.
        head_dim=lambda config: config.get("qk_rope_head_dim", 64),
        qk_rope_head_dim=64,
        qk_nope_head_dim=128,
        v_head_dim=128,
        kv_lora_rank=512,
        first_k_dense_replace=_dense_blocks,
        rope_theta=10000.0,
        rms_norm_eps=1e-6,
    ),
)
