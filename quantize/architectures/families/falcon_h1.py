"""Falcon H1: Mamba 2 and attention side by side in every block.

The model multiplies activations by constants at many places; llama.cpp has none of them, so its
converter multiplies the weights before each place instead.
"""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, u32
from quantize.architectures.ssm import mamba2_mixer
from quantize.transforms import Scale, ScaleSpans, Transform, chain

_MAMBA = "layers.{bid}.mamba"
_FFN = "layers.{bid}.feed_forward"


def _in_proj(hp: Hparams) -> Transform:
    """The parts of in_proj: gate z, x, B, C and the time steps."""
    inner, state = int(hp["mamba_d_ssm"]), int(hp["mamba_n_groups"]) * int(hp["mamba_d_state"])
    sizes = (inner, inner, state, state, int(hp["mamba_n_heads"]))
    factors = tuple(float(factor) for factor in hp["ssm_multipliers"])
    return chain(Scale(hp["ssm_in_multiplier"]), ScaleSpans(sizes, factors))


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    mixer = mamba2_mixer(
        _MAMBA,
        kernel=int(hp["mamba_d_conv"]),
        groups=int(hp["mamba_n_groups"]),
        norm=bool(hp.get("mamba_rms_norm")),
        in_proj=_in_proj(hp),
        out_proj=Scale(hp["ssm_out_multiplier"]),
    )
    gate, down = hp["mlp_multipliers"]
    attention_in = Scale(hp["attention_in_multiplier"])
    attention = decoder.attention(
        q=attention_in,
        k=chain(Scale(hp["key_multiplier"]), attention_in),
        v=attention_in,
        o=Scale(hp["attention_out_multiplier"]),
    )
    return (
        *tensor("embed_tokens", "token_embd", Scale(hp["embedding_multiplier"])),
        *tensor("final_layernorm", "output_norm"),
        *tensor("lm_head", "output", Scale(hp["lm_head_multiplier"]), optional=True),
        *tensor("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
        TensorRule("layers.{bid}.pre_ff_layernorm.weight", "blk.{bid}.ffn_norm"),
        *mixer,
        *attention,
        *tensor(f"{_FFN}.gate_proj", "blk.{bid}.ffn_gate", Scale(gate)),
        *tensor(f"{_FFN}.up_proj", "blk.{bid}.ffn_up"),
        *tensor(f"{_FFN}.down_proj", "blk.{bid}.ffn_down", Scale(down)),
    )


FALCON_H1 = Family(
    arch="falcon-h1",
    keys=(
        u32("context_length", lambda hp: hp.get("max_position_embeddings", 0)),
        u32("embedding_length", "hidden_size"),
        u32("feed_forward_length", "intermediate_size"),
        u32("attention.head_count", "num_attention_heads"),
        u32("block_count", lambda hp: hp.block_count),
        u32("ssm.conv_kernel", "mamba_d_conv"),
        u32("ssm.inner_size", "mamba_d_ssm"),
        u32("ssm.state_size", "mamba_d_state"),
        u32("ssm.time_step_rank", lambda hp: hp["mamba_d_ssm"] // hp["mamba_d_head"]),
        u32("ssm.group_count", "mamba_n_groups"),
        f32("attention.layer_norm_rms_epsilon", lambda hp: hp.get("rms_norm_eps") or 1e-5),
        u32("vocab_size", "vocab_size"),
        u32("attention.head_count_kv", "num_key_value_heads"),
        u32("attention.key_length", "head_dim"),
        u32("attention.value_length", "head_dim"),
        f32("rope.freq_base", lambda hp: hp.rope["rope_theta"]),
    ),
    rules=_rules,
    defaults=class_defaults(
        mamba_d_head=lambda config: config["mamba_d_ssm"] // config["mamba_n_heads"]
    ),
)
