"""OpenELM: heads and MLPs of another number and size in each layer."""

from __future__ import annotations

from quantize.architectures.family import Family, TensorRule, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import array, f32, u32
from quantize.transforms import Part

_LAYER = "layers.{bid}"


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    gate_up = f"{_LAYER}.ffn.proj_1.weight"
    return (
        *tensor("token_embeddings", "token_embd"),
        *tensor("norm", "output_norm"),
        *tensor(f"{_LAYER}.attn_norm", "blk.{bid}.attn_norm"),
        *tensor(f"{_LAYER}.attn.qkv_proj", "blk.{bid}.attn_qkv"),
        *tensor(f"{_LAYER}.attn.q_norm", "blk.{bid}.attn_q_norm"),
        *tensor(f"{_LAYER}.attn.k_norm", "blk.{bid}.attn_k_norm"),
        *tensor(f"{_LAYER}.attn.out_proj", "blk.{bid}.attn_output"),
        *tensor(f"{_LAYER}.ffn_norm", "blk.{bid}.ffn_norm"),
        TensorRule(gate_up, "blk.{bid}.ffn_gate.weight", Part(0, 2)),
        TensorRule(gate_up, "blk.{bid}.ffn_up.weight", Part(1, 2)),
        *tensor(f"{_LAYER}.ffn.proj_2", "blk.{bid}.ffn_down"),
    )


def _mlp_sizes(hp: Hparams) -> list[int]:
    """Multiples of ffn_dim_divisor near what the multipliers ask, at most a tenth below."""
    width, divisor = hp["model_dim"], hp["ffn_dim_divisor"]
    sizes = []
    for multiplier in hp["ffn_multipliers"]:
        wanted = multiplier * width
        size = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
        sizes.append(size + divisor if size < 0.9 * wanted else size)
    return sizes


OPENELM = Family(
    arch="openelm",
    keys=(
        u32("block_count", lambda hp: hp.block_count),
        u32("context_length", "max_context_length"),
        u32("embedding_length", "model_dim"),
        array("feed_forward_length", "INT32", _mlp_sizes),
        array("attention.head_count", "INT32", "num_query_heads"),
        array("attention.head_count_kv", "INT32", "num_kv_heads"),
        f32("rope.freq_base", "rope_freq_constant"),
        f32("attention.layer_norm_rms_epsilon", lambda hp: 1e-6),  # of the model's code
        u32("rope.dimension_count", "head_dim"),
        u32("attention.key_length", "head_dim"),
        u32("attention.value_length", "head_dim"),
    ),
    rules=_rules,
    defaults=lambda config: {"num_hidden_layers": config.get("num_transformer_layers")},
    vocab=("spm", "spm-json"),
)
