"""Tencent's Hunyuan, dense: norms on each head of q and k, and RoPE scaled by an alpha."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, Key, f32, string, u32, without

_ATTN = "layers.{bid}.self_attn"
_CONTEXT = 256 * 1024  # what NTK scaling by alpha reaches, whatever config.json says

QK_NORMS = (
    *tensor(f"{_ATTN}.query_layernorm", "blk.{bid}.attn_q_norm"),
    *tensor(f"{_ATTN}.key_layernorm", "blk.{bid}.attn_k_norm"),
)


def head(hp: Hparams) -> tuple[TensorRule, ...]:
    return () if hp.get("tie_word_embeddings") else decoder.HEAD


def unused(hp: Hparams) -> tuple[str, ...]:
    return ("lm_head.weight",) if hp.get("tie_word_embeddings") else ()


def alpha_scaling(alpha: float) -> tuple[Key, ...]:
    """RoPE of type "dynamic": the base grows by alpha^(d/(d-2)), `alpha` by default."""

    def if_dynamic(value: object) -> object:
        return lambda hp: value if hp.rope.get("rope_type") == "dynamic" else None

    def base(hp: Hparams) -> float | None:
        if hp.rope.get("rope_type") != "dynamic":
            return None
        power = hp.head_dim / (hp.head_dim - 2)
        return float(hp.rope.get("rope_theta", 10000.0) * hp.rope.get("alpha", alpha) ** power)

    return (
        f32("rope.freq_base", base),
        string("rope.scaling.type", if_dynamic("none")),
        f32("rope.scaling.factor", if_dynamic(1)),
        u32("rope.scaling.original_context_length", if_dynamic(_CONTEXT)),
        u32("context_length", if_dynamic(_CONTEXT)),
    )


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *head(hp),
        *decoder.NORMS,
        *decoder.attention(),
        *QK_NORMS,
        *decoder.MLP,
    )


HUNYUAN_DENSE = Family(
    arch="hunyuan-dense",
    keys=(*without(COMMON, "expert_count"), *alpha_scaling(50)),
    rules=_rules,
    unused=unused,
    defaults=class_defaults(rope_theta=10000.0, rms_norm_eps=1e-5),
)
