"""Nemotron-H: each block is one of Mamba 2, attention, an MLP, or experts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from quantize.architectures.family import (
    Family,
    TensorRule,
    class_defaults,
    experts,
    on_blocks,
    tensor,
)
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, boolean, f32, u32, without
from quantize.architectures.ssm import mamba2_mixer
from quantize.transforms import PermuteRope

_MIXER = "layers.{bid}.mixer"
# The letters of hybrid_override_pattern, the words of layers_block_type.
_MAMBA = ("M", "mamba", "linear_attention")
_ATTENTION = ("*", "attention", "full_attention")
_MLP = ("-", "mlp")
_EXPERTS = ("E", "moe")

_MOE = (
    *tensor(f"{_MIXER}.gate", "blk.{bid}.ffn_gate_inp"),
    TensorRule(
        f"{_MIXER}.gate.e_score_correction_bias", "blk.{bid}.exp_probs_b.bias", optional=True
    ),
    experts(f"{_MIXER}.experts.{{eid}}.up_proj", "blk.{bid}.ffn_up_exps"),
    experts(f"{_MIXER}.experts.{{eid}}.down_proj", "blk.{bid}.ffn_down_exps"),
    *tensor(f"{_MIXER}.shared_experts.up_proj", "blk.{bid}.ffn_up_shexp"),
    *tensor(f"{_MIXER}.shared_experts.down_proj", "blk.{bid}.ffn_down_shexp"),
    *tensor(f"{_MIXER}.fc1_latent_proj", "blk.{bid}.ffn_latent_down", optional=True),
    *tensor(f"{_MIXER}.fc2_latent_proj", "blk.{bid}.ffn_latent_up", optional=True),
)


def _pattern(config: Mapping[str, Any]) -> Sequence[str]:
    """The kind of each block: letters in older configs, words in those of transformers 5."""
    letters, words = config.get("hybrid_override_pattern"), config.get("layers_block_type")
    return letters or words or ()


def _blocks(hp: Hparams, kinds: tuple[str, ...]) -> list[int]:
    pattern = hp.get("hybrid_override_pattern") or hp["layers_block_type"]
    return [bid for bid, kind in enumerate(pattern) if kind in kinds]


def _attention(hp: Hparams) -> tuple[TensorRule, ...]:
    # Without RoPE the order within a head means nothing; llama.cpp's converter permutes anyway.
    return (
        *tensor(f"{_MIXER}.q_proj", "blk.{bid}.attn_q", PermuteRope(hp.n_head)),
        *tensor(f"{_MIXER}.k_proj", "blk.{bid}.attn_k", PermuteRope(hp.n_head_kv)),
        *tensor(f"{_MIXER}.v_proj", "blk.{bid}.attn_v"),
        *tensor(f"{_MIXER}.o_proj", "blk.{bid}.attn_output"),
    )


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    mamba = mamba2_mixer(_MIXER, kernel=int(hp["conv_kernel"]), groups=int(hp["n_groups"]))
    mlp = (
        *tensor(f"{_MIXER}.up_proj", "blk.{bid}.ffn_up"),
        *tensor(f"{_MIXER}.down_proj", "blk.{bid}.ffn_down"),
    )
    return (
        *tensor("embeddings", "token_embd"),
        *tensor("norm_f", "output_norm"),
        *tensor("lm_head", "output"),
        *tensor("layers.{bid}.norm", "blk.{bid}.attn_norm"),
        *on_blocks(_blocks(hp, _MAMBA), mamba),
        *on_blocks(_blocks(hp, _ATTENTION), _attention(hp)),
        *on_blocks(_blocks(hp, _MLP), mlp),
        *on_blocks(_blocks(hp, _EXPERTS), _MOE),
    )


def _on(kinds: tuple[str, ...], hp: Hparams, value: Any) -> list[int]:
    """A number for each block: `value` where the block is of one of `kinds`, else 0."""
    there = _blocks(hp, kinds)
    return [int(value) if bid in there else 0 for bid in range(hp.block_count)]


def _head_dim(hp: Hparams) -> int:
    return int(hp.first("head_dim", "attention_head_dim"))


_KEYS = (
    *without(COMMON, "attention.key_length", "attention.value_length"),
    u32("context_length", lambda hp: 2**20),  # without positions there is no limit
    u32("vocab_size", "vocab_size"),
    u32("rope.dimension_count", lambda hp: hp.n_embd // hp.n_head),
    u32("ssm.conv_kernel", "conv_kernel"),
    u32("ssm.state_size", "ssm_state_size"),
    u32("ssm.group_count", "n_groups"),
    u32("ssm.inner_size", lambda hp: int(hp["mamba_num_heads"]) * int(hp["mamba_head_dim"])),
    u32("ssm.time_step_rank", "mamba_num_heads"),
    u32("attention.head_count_kv", lambda hp: _on(_ATTENTION, hp, hp.n_head_kv)),
    boolean("rope.scaling.finetuned", lambda hp: False),
    u32("attention.key_length", _head_dim),
    u32("attention.value_length", _head_dim),
)


def _mixture(config: Mapping[str, Any]) -> Family | None:
    """Told by the blocks: transformers 5 saves numbers of experts for models without any."""
    return _NEMOTRON_H_MOE if set(_EXPERTS).intersection(_pattern(config)) else None


NEMOTRON_H = Family(
    arch="nemotron_h",
    keys=(
        *(row for row in _KEYS if not row.name.startswith("expert_")),
        u32("feed_forward_length", lambda hp: _on(_MLP, hp, hp["intermediate_size"])),
    ),
    rules=_rules,
    prefixes=("backbone.", "model."),
    vocab_options={"pad_multiple": 8},
    variant=_mixture,
    defaults=class_defaults(num_hidden_layers=lambda config: len(_pattern(config)) or None),
)

_NEMOTRON_H_MOE = replace(
    NEMOTRON_H,
    arch="nemotron_h_moe",
    keys=(
        *_KEYS,
        u32("feed_forward_length", lambda hp: _on(_EXPERTS, hp, hp["moe_intermediate_size"])),
        u32("expert_used_count", "num_experts_per_tok"),
        u32("expert_feed_forward_length", "moe_intermediate_size"),
        u32("expert_shared_feed_forward_length", "moe_shared_expert_intermediate_size"),
        u32("expert_count", "n_routed_experts"),
        u32("expert_shared_count", "n_shared_experts"),
        boolean("expert_weights_norm", "norm_topk_prob"),
        f32("expert_weights_scale", "routed_scaling_factor"),
        u32("expert_group_count", "n_group"),
        u32("moe_latent_size", "moe_latent_size"),
    ),
)
