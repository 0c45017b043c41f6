"""Gemma 4: two sizes of heads, an embedding per layer, optionally experts along with the MLP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from quantize.architectures.decoder import HEAD, MLP, OUTPUT_NORM
from quantize.architectures.families.gemma import NO_SPACE_PREFIX, SANDWICH_NORMS
from quantize.architectures.families.gemma3 import GEMMA3, embedding
from quantize.architectures.family import (
    OTHER_MODALITIES,
    Family,
    Generated,
    TensorRule,
    class_defaults,
    on_blocks,
    tensor,
)
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import array, u32
from quantize.formats import kv

_ATTENTION = "layers.{bid}.self_attn"
_ROUTER = "layers.{bid}.router"

_PER_LAYER = (
    TensorRule("embed_tokens_per_layer.weight", "per_layer_token_embd.weight"),
    TensorRule("per_layer_model_projection.weight", "per_layer_model_proj.weight"),
    TensorRule("per_layer_projection_norm.weight", "per_layer_proj_norm.weight"),
    TensorRule("layers.{bid}.per_layer_input_gate.weight", "blk.{bid}.inp_gate.weight"),
    TensorRule("layers.{bid}.per_layer_projection.weight", "blk.{bid}.proj.weight"),
    TensorRule("layers.{bid}.post_per_layer_input_norm.weight", "blk.{bid}.post_norm.weight"),
)
_EXPERTS = (
    TensorRule(f"{_ROUTER}.proj.weight", "blk.{bid}.ffn_gate_inp.weight"),
    TensorRule(f"{_ROUTER}.scale", "blk.{bid}.ffn_gate_inp.scale"),
    TensorRule(f"{_ROUTER}.per_expert_scale", "blk.{bid}.ffn_down_exps.scale"),
    TensorRule("layers.{bid}.experts.gate_up_proj", "blk.{bid}.ffn_gate_up_exps.weight"),
    TensorRule("layers.{bid}.experts.down_proj", "blk.{bid}.ffn_down_exps.weight"),
    *tensor("layers.{bid}.pre_feedforward_layernorm_2", "blk.{bid}.pre_ffw_norm_2"),
    *tensor("layers.{bid}.post_feedforward_layernorm_1", "blk.{bid}.post_ffw_norm_1"),
    *tensor("layers.{bid}.post_feedforward_layernorm_2", "blk.{bid}.post_ffw_norm_2"),
)


def _keys_and_values(*, shared: bool) -> tuple[TensorRule, ...]:
    """Keys may be the values, too; a layer that shares another's may have neither."""
    return (
        *tensor(f"{_ATTENTION}.k_proj", "blk.{bid}.attn_k", optional=shared),
        *tensor(f"{_ATTENTION}.k_norm", "blk.{bid}.attn_k_norm", optional=shared),
        *tensor(f"{_ATTENTION}.v_proj", "blk.{bid}.attn_v", optional=True),
    )


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    own = _own_layers(hp)
    return (
        embedding(hp),
        *HEAD,
        *OUTPUT_NORM,
        *SANDWICH_NORMS,
        *tensor(f"{_ATTENTION}.q_proj", "blk.{bid}.attn_q"),
        *tensor(f"{_ATTENTION}.q_norm", "blk.{bid}.attn_q_norm"),
        *on_blocks(range(own), _keys_and_values(shared=False)),
        *on_blocks(range(own, hp.block_count), _keys_and_values(shared=True)),
        *tensor(f"{_ATTENTION}.o_proj", "blk.{bid}.attn_output"),
        *MLP,
        TensorRule(
            "layers.{bid}.layer_scalar", "blk.{bid}.layer_output_scale.weight", optional=True
        ),
        *(_PER_LAYER if hp.get("hidden_size_per_layer_input") else ()),
        *(_EXPERTS if hp.get("enable_moe_block") else ()),
    )


def _own_layers(hp: Hparams) -> int:
    """Layers with keys and values of their own; the others use those of a layer before."""
    return hp.block_count - int(hp["num_kv_shared_layers"])


def _sliding(hp: Hparams) -> list[bool]:
    return [kind == "sliding_attention" for kind in hp["layer_types"]]


def _kv_heads(hp: Hparams) -> list[int] | None:
    """A number for each layer, where layers that see everything use their keys as values."""
    full = hp.get("num_global_key_value_heads")
    if full is None or not hp.get("attention_k_eq_v"):
        return None
    return [hp.n_head_kv if sliding else full for sliding in _sliding(hp)]


def _wide_mlp(hp: Hparams) -> list[int] | None:
    """A size for each layer, where those that share keys and values have twice the MLP."""
    if not hp.get("use_double_wide_mlp"):
        return None
    own, size = _own_layers(hp), int(hp["intermediate_size"])
    return [size if bid < own else 2 * size for bid in range(hp.block_count)]


def _rope_freqs(hp: Hparams) -> list[Generated]:
    """RoPE, "proportional", of the layers that see everything: a divisor of 1e30 stops a turn."""
    pairs = int(hp["global_head_dim"]) // 2
    turned = int(pairs * hp.full_rope["partial_rotary_factor"])
    values = np.full(pairs, 1e30, dtype=np.float32)
    values[:turned] = 1
    return [Generated("rope_freqs.weight", values)]


def _of_full_layers(name: str) -> Callable[[Mapping[str, Any]], Any]:
    """What layers with full attention have in place of `name`, as newer configs say it.

    transformers 5.2 and later save it for each such layer, in `per_layer_config`.
    """

    def value(config: Mapping[str, Any]) -> Any:
        kinds = config.get("layer_types") or ()
        layers = config.get("per_layer_config") or {}
        full = (own for bid, own in layers.items() if kinds[int(bid)] == "full_attention")
        return next((own[name] for own in full if name in own), None)

    return value


GEMMA4 = Family(
    arch="gemma4",
    keys=(
        *GEMMA3.keys,
        u32("attention.shared_kv_layers", "num_kv_shared_layers"),
        u32(
            "embedding_length_per_layer_input",
            lambda hp: hp.get("hidden_size_per_layer_input") or 0,
        ),
        array("attention.sliding_window_pattern", "BOOL", _sliding),
        u32("attention.key_length", "global_head_dim"),
        u32("attention.value_length", "global_head_dim"),
        u32("attention.key_length_swa", "head_dim"),
        u32("attention.value_length_swa", "head_dim"),
        u32("expert_feed_forward_length", "expert_intermediate_size", "moe_intermediate_size"),
        u32("feed_forward_length", _wide_mlp),
        u32("attention.head_count_kv", _kv_heads),
        u32("rope.dimension_count", "global_head_dim"),
        u32("rope.dimension_count_swa", "head_dim"),
    ),
    rules=_rules,
    unused=OTHER_MODALITIES,
    defaults=class_defaults(
        rms_norm_eps=1e-6,
        num_kv_shared_layers=0,
        global_head_dim=_of_full_layers("head_dim"),
        num_global_key_value_heads=_of_full_layers("num_key_value_heads"),
    ),
    generated=_rope_freqs,
    vocab=("gemma4",),
    vocab_options={
        "after": (NO_SPACE_PREFIX, kv.boolean("tokenizer.ggml.add_bos_token", value=True))
    },
)


def _suppressed(hp: Hparams) -> list[int] | None:
    generation = hp.read_json("generation_config.json")
    return None if generation is None else generation.get("suppress_tokens")


GEMMA4_UNIFIED = replace(
    GEMMA4,
    keys=(*GEMMA4.keys, array("tokenizer.ggml.suppress_tokens", "INT32", _suppressed)),
)
