"""StableLM 2 and 3B: LayerNorm, RoPE on a part of each head, norms per head in the larger ones."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, biased, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import SIZES, boolean, f32, u32
from quantize.transforms import Join, Refold, chain


def _head_norms(letter: str, n_head: int) -> TensorRule:
    """One norm a head, each a tensor of its own, as the rows of a table."""
    norms = f"layers.{{bid}}.self_attn.{letter}_layernorm.norms"
    return TensorRule(
        tuple(f"{norms}.{head}.weight" for head in range(n_head)),
        f"blk.{{bid}}.attn_{letter}_norm.weight",
        chain(Join(), Refold((n_head, -1))),
        optional=True,
    )


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *biased("norm", "output_norm"),
        *decoder.UNTIED_HEAD,
        *biased("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
        # Absent where attention and MLP are parallel and share the norm before them.
        *tensor("layers.{bid}.post_attention_layernorm", "blk.{bid}.ffn_norm", optional=True),
        _head_norms("q", hp.n_head),
        _head_norms("k", hp.n_head_kv),
        *decoder.attention(),
        *decoder.MLP,
    )


def _rotary_dimensions(hp: Hparams) -> int:
    return int(hp.rope["partial_rotary_factor"] * (hp.n_embd // hp.n_head))


STABLELM = Family(
    arch="stablelm",
    keys=(
        *SIZES,
        u32("rope.dimension_count", _rotary_dimensions),
        u32("attention.head_count", "num_attention_heads"),
        u32("attention.head_count_kv", "num_key_value_heads"),
        boolean("use_parallel_residual", "use_parallel_residual"),
        f32("attention.layer_norm_epsilon", "layer_norm_eps"),
    ),
    rules=_rules,
    defaults=class_defaults(
        max_position_embeddings=4096,
        partial_rotary_factor=0.25,
        use_parallel_residual=False,
        layer_norm_eps=1e-5,
    ),
)
