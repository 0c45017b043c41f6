"""GPT-NeoX and Pythia: q, k, v fused head by head, RoPE on a part of each head."""

from __future__ import annotations

from quantize.architectures.family import Family, TensorRule, biased, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import SIZES, boolean, f32, u32
from quantize.transforms import Ungroup


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    qkv = Ungroup(hp.n_head, (1, 1, 1))
    fused = "layers.{bid}.attention.query_key_value"
    return (
        *tensor("embed_in", "token_embd"),
        *biased("final_layer_norm", "output_norm"),
        *tensor("embed_out", "output"),
        *biased("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
        *biased("layers.{bid}.post_attention_layernorm", "blk.{bid}.ffn_norm"),
        TensorRule(f"{fused}.weight", "blk.{bid}.attn_qkv.weight", qkv),
        TensorRule(f"{fused}.bias", "blk.{bid}.attn_qkv.bias", qkv),
        *biased("layers.{bid}.attention.dense", "blk.{bid}.attn_output"),
        *biased("layers.{bid}.mlp.dense_h_to_4h", "blk.{bid}.ffn_up"),
        *biased("layers.{bid}.mlp.dense_4h_to_h", "blk.{bid}.ffn_down"),
    )


def rotary_dimensions(hp: Hparams) -> int:
    return int(hp["rotary_pct"] * (hp.n_embd // hp.n_head))


GPTNEOX = Family(
    arch="gptneox",
    keys=(
        *SIZES,
        u32("rope.dimension_count", rotary_dimensions),
        u32("attention.head_count", "num_attention_heads"),
        boolean("use_parallel_residual", "use_parallel_residual"),
        f32("attention.layer_norm_epsilon", "layer_norm_eps"),
    ),
    rules=_rules,
    prefixes=("gpt_neox.",),
    defaults=class_defaults(
        max_position_embeddings=2048,
        rotary_pct=0.25,
        use_parallel_residual=True,
        layer_norm_eps=1e-5,
    ),
)
