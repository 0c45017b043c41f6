"""Llama 4, the text part: experts with a shared one in every block or every second one."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures import decoder
from quantize.architectures.families.llama import LLAMA
from quantize.architectures.family import (
    OTHER_MODALITIES,
    TensorRule,
    class_defaults,
    on_blocks,
    tensor,
)
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import u32
from quantize.transforms import Part, Transpose, chain

_FFN = "layers.{bid}.feed_forward"
# The experts are stored with their inputs first.
_OUTPUTS_FIRST = Transpose((0, 2, 1))


def _mlp(source: str, suffix: str = "") -> tuple[TensorRule, ...]:
    return tuple(
        TensorRule(f"{source}.{name}_proj.weight", f"blk.{{bid}}.ffn_{name}{suffix}.weight")
        for name in ("gate", "up", "down")
    )


_MOE = (
    *tensor(f"{_FFN}.router", "blk.{bid}.ffn_gate_inp"),
    *(
        TensorRule(
            f"{_FFN}.experts.gate_up_proj",
            f"blk.{{bid}}.ffn_{name}_exps.weight",
            chain(_OUTPUTS_FIRST, Part(index, 2, dim=1)),
        )
        for index, name in enumerate(("gate", "up"))
    ),
    TensorRule(f"{_FFN}.experts.down_proj", "blk.{bid}.ffn_down_exps.weight", _OUTPUTS_FIRST),
    *_mlp(f"{_FFN}.shared_expert", "_shexp"),
)


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    step = int(hp["interleave_moe_layer_step"])
    moe = hp.get("moe_layers") or (range(step - 1, hp.block_count, step) if step else ())
    dense = [bid for bid in range(hp.block_count) if bid not in moe]
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *decoder.NORMS,
        *decoder.attention(),
        *on_blocks(dense, _mlp(_FFN)),
        *on_blocks(tuple(moe), _MOE),
    )


def _no_window(hp: Hparams) -> int | None:
    """Without chunked attention anywhere, a window of 0 tells llama.cpp so."""
    types = hp.get("layer_types")
    return 0 if types is not None and set(types) <= {"full_attention"} else None


LLAMA4 = replace(
    LLAMA,
    arch="llama4",
    keys=(
        *LLAMA.keys,
        u32("feed_forward_length", "intermediate_size_mlp"),
        u32("interleave_moe_layer_step", "interleave_moe_layer_step"),
        u32("expert_feed_forward_length", "intermediate_size"),
        u32("attention.sliding_window", _no_window),
    ),
    rules=_rules,
    unused=OTHER_MODALITIES,
    defaults=class_defaults(
        head_dim=128,
        num_key_value_heads=8,
        rope_theta=500000.0,
        rms_norm_eps=1e-5,
        interleave_moe_layer_step=1,
        num_local_experts=16,
        num_experts_per_tok=1,
    ),
    vocab=("bpe",),
    vocab_options={},
)
