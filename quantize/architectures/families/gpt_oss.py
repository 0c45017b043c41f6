"""gpt-oss: experts with biases, gate and up in turn, attention sinks, windows in every other block.

Experts come as MXFP4 in (experts, outputs, inputs) order, or, from checkpoints that were trained
further and saved as floats, in (experts, inputs, outputs) order.
"""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, biased, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, u32
from quantize.transforms import IDENTITY, Every, Refold, Transform, Transpose, chain

_EXPERTS = "layers.{bid}.mlp.experts"


def _outputs_first(hp: Hparams) -> Transform:
    encoding = hp.get("quantization_config") or {}
    return IDENTITY if encoding.get("quant_method") == "mxfp4" else Transpose((0, 2, 1))


def _half(hp: Hparams, name: str, start: int) -> tuple[TensorRule, TensorRule]:
    """Every second output of gate_up, from the first (gate) or from the second (up)."""
    weight = chain(_outputs_first(hp), Every(start, 2, dim=1))
    bias = chain(Refold((-1, 1)), Every(start, 2), Refold((hp.n_expert, -1)))
    return (
        TensorRule(f"{_EXPERTS}.gate_up_proj", f"blk.{{bid}}.{name}.weight", weight),
        TensorRule(f"{_EXPERTS}.gate_up_proj_bias", f"blk.{{bid}}.{name}.bias", bias),
    )


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.UNTIED_HEAD,
        *tensor("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
        *tensor("layers.{bid}.post_attention_layernorm", "blk.{bid}.post_attention_norm"),
        *biased("layers.{bid}.self_attn.q_proj", "blk.{bid}.attn_q"),
        *biased("layers.{bid}.self_attn.k_proj", "blk.{bid}.attn_k"),
        *biased("layers.{bid}.self_attn.v_proj", "blk.{bid}.attn_v"),
        *biased("layers.{bid}.self_attn.o_proj", "blk.{bid}.attn_output"),
        TensorRule("layers.{bid}.self_attn.sinks", "blk.{bid}.attn_sinks.weight"),
        *biased("layers.{bid}.mlp.router", "blk.{bid}.ffn_gate_inp"),
        *_half(hp, "ffn_gate_exps", 0),
        *_half(hp, "ffn_up_exps", 1),
        TensorRule(f"{_EXPERTS}.down_proj", "blk.{bid}.ffn_down_exps.weight", _outputs_first(hp)),
        TensorRule(f"{_EXPERTS}.down_proj_bias", "blk.{bid}.ffn_down_exps.bias"),
    )


GPT_OSS = Family(
    arch="gpt-oss",
    keys=(
        *COMMON,
        u32("attention.sliding_window", "sliding_window"),
        u32("expert_feed_forward_length", "intermediate_size"),
    ),
    rules=_rules,
    defaults=class_defaults(
        num_key_value_heads=8,
        head_dim=64,
        sliding_window=128,
        rope_theta=150000.0,
        rms_norm_eps=1e-5,
        max_position_embeddings=131072,
        num_local_experts=128,
        num_experts_per_tok=4,
    ),
)
