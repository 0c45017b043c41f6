"""InternLM 2, whose q, k and v are fused group by group, and InternLM 3, which is a Llama."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures.families.llama import LLAMA
from quantize.architectures.family import Family, TensorRule, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON
from quantize.transforms import PermuteRope, Span, Ungroup, chain

_LAYER = "layers.{bid}"


def _attention(hp: Hparams) -> tuple[TensorRule, ...]:
    """Each group has its query heads, a key head and a value head."""
    source = f"{_LAYER}.attention.wqkv.weight"
    head, groups = hp.n_embd // hp.n_head, hp.n_head_kv
    ungrouped = Ungroup(groups, (hp.n_head // groups, 1, 1))
    k, v = hp.n_head * head, (hp.n_head + groups) * head
    return (
        TensorRule(
            source, "blk.{bid}.attn_q.weight", chain(ungrouped, Span(0, k), PermuteRope(hp.n_head))
        ),
        TensorRule(
            source, "blk.{bid}.attn_k.weight", chain(ungrouped, Span(k, v), PermuteRope(groups))
        ),
        TensorRule(source, "blk.{bid}.attn_v.weight", chain(ungrouped, Span(v, v + groups * head))),
    )


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *tensor("tok_embeddings", "token_embd"),
        *tensor("norm", "output_norm"),
        *tensor("output", "output"),
        *tensor(f"{_LAYER}.attention_norm", "blk.{bid}.attn_norm"),
        *_attention(hp),
        *tensor(f"{_LAYER}.attention.wo", "blk.{bid}.attn_output"),
        *tensor(f"{_LAYER}.ffn_norm", "blk.{bid}.ffn_norm"),
        *tensor(f"{_LAYER}.feed_forward.w1", "blk.{bid}.ffn_gate"),
        *tensor(f"{_LAYER}.feed_forward.w2", "blk.{bid}.ffn_down"),
        *tensor(f"{_LAYER}.feed_forward.w3", "blk.{bid}.ffn_up"),
    )


INTERNLM2 = Family(
    arch="internlm2",
    keys=COMMON,
    rules=_rules,
    defaults=class_defaults(),
    vocab=("spm-internlm2", "spm-json"),
)
INTERNLM3 = replace(
    LLAMA,
    defaults=class_defaults(),
    vocab=("spm-internlm3", "spm-json"),
    vocab_options={},
)
