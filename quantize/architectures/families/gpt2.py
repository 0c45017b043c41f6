"""GPT-2: learned positions, fused q, k, v, and Conv1D weights, which have their inputs first."""

from __future__ import annotations

from quantize.architectures.family import Family, TensorRule, biased, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, u32
from quantize.transforms import Transpose


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *tensor("wte", "token_embd"),
        *tensor("wpe", "position_embd"),
        *biased("ln_f", "output_norm"),
        *tensor("lm_head", "output", optional=True),
        *biased("h.{bid}.ln_1", "blk.{bid}.attn_norm"),
        *biased("h.{bid}.ln_2", "blk.{bid}.ffn_norm"),
        *biased("h.{bid}.attn.c_attn", "blk.{bid}.attn_qkv", Transpose()),
        *biased("h.{bid}.attn.c_proj", "blk.{bid}.attn_output", Transpose()),
        *biased("h.{bid}.mlp.c_fc", "blk.{bid}.ffn_up", Transpose()),
        *biased("h.{bid}.mlp.c_proj", "blk.{bid}.ffn_down", Transpose()),
    )


GPT2 = Family(
    arch="gpt2",
    keys=(
        u32("block_count", "n_layer"),
        u32("context_length", "n_ctx", "n_positions"),
        u32("embedding_length", "n_embd"),
        u32("feed_forward_length", lambda hp: 4 * hp.n_embd),
        u32("attention.head_count", "n_head"),
        f32("attention.layer_norm_epsilon", "layer_norm_epsilon"),
    ),
    rules=_rules,
    # The causal masks, which older versions of transformers saved.
    unused=("h.*.attn.bias", "h.*.attn.masked_bias"),
    defaults=class_defaults(
        n_positions=1024, n_embd=768, n_layer=12, n_head=12, layer_norm_epsilon=1e-5
    ),
)
