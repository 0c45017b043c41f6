"""NeoBERT: a pre-norm encoder with RoPE and SwiGLU, pooled by its first token."""

from __future__ import annotations

from quantize.architectures.families.bert import ENCODER_KEYS
from quantize.architectures.family import Family, TensorRule, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, string, u32
from quantize.architectures.pooling import CLS

_LAYER = "transformer_encoder.{bid}"


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        TensorRule("encoder.weight", "token_embd.weight"),
        *tensor("layer_norm", "enc.output_norm"),
        *tensor(f"{_LAYER}.attention_norm", "blk.{bid}.attn_norm"),
        *tensor(f"{_LAYER}.qkv", "blk.{bid}.attn_qkv"),
        *tensor(f"{_LAYER}.wo", "blk.{bid}.attn_output"),
        *tensor(f"{_LAYER}.ffn_norm", "blk.{bid}.ffn_norm"),
        *tensor(f"{_LAYER}.ffn.w12", "blk.{bid}.ffn_up"),
        *tensor(f"{_LAYER}.ffn.w3", "blk.{bid}.ffn_down"),
        *tensor("dense", "cls", optional=True),
        *tensor("classifier", "cls.output", optional=True),
    )


NEO_BERT = Family(
    arch="neo-bert",
    keys=(
        *ENCODER_KEYS,
        # A gated MLP of this size has as many weights as an ungated one of intermediate_size.
        u32("feed_forward_length", lambda hp: int(2 * hp["intermediate_size"] / 3)),
        f32("rope.freq_base", lambda hp: 10000.0),
        string("rope.scaling.type", lambda hp: "none"),
        f32("attention.layer_norm_rms_epsilon", lambda hp: hp.get("norm_eps", 1e-6)),
        u32("pooling_type", lambda hp: CLS),
    ),
    rules=_rules,
    # What predicts masked tokens.
    unused=("decoder.*",),
    prefixes=("model.",),
    vocab=("wordpiece",),
)
