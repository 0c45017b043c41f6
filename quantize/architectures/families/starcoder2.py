"""StarCoder 2: LayerNorm, an MLP without gate, and biases everywhere."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, biased, class_defaults
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *biased("norm", "output_norm"),
        *decoder.HEAD,
        *biased("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
        *biased("layers.{bid}.post_attention_layernorm", "blk.{bid}.ffn_norm"),
        *biased("layers.{bid}.self_attn.q_proj", "blk.{bid}.attn_q"),
        *biased("layers.{bid}.self_attn.k_proj", "blk.{bid}.attn_k"),
        *biased("layers.{bid}.self_attn.v_proj", "blk.{bid}.attn_v"),
        *biased("layers.{bid}.self_attn.o_proj", "blk.{bid}.attn_output"),
        *biased("layers.{bid}.mlp.c_fc", "blk.{bid}.ffn_up"),
        *biased("layers.{bid}.mlp.c_proj", "blk.{bid}.ffn_down"),
    )


STARCODER2 = Family(
    arch="starcoder2",
    keys=COMMON,
    rules=_rules,
    defaults=class_defaults(num_key_value_heads=2, rope_theta=10000.0, norm_epsilon=1e-5),
)
