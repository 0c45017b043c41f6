"""Dream and LLaDA: text by diffusion, with Qwen 2's and Llama's blocks and no causal mask."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures.family import Family, Rule, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, boolean, u32
from quantize.architectures.pooling import POOLING
from quantize.architectures.qwen2 import QWEN2
from quantize.architectures.transforms import PermuteRope
from quantize.formats import kv

_NOT_CAUSAL = boolean("attention.causal", lambda hp: False)
_BLOCK = "blocks.{bid}"


def _llada(hp: Hparams) -> tuple[Rule, ...]:
    n_head = hp.n_head
    return (
        *tensor("wte", "token_embd"),
        *tensor("ln_f", "output_norm"),
        *tensor("ff_out", "output", optional=True),
        *tensor(f"{_BLOCK}.attn_norm", "blk.{bid}.attn_norm"),
        *tensor(f"{_BLOCK}.q_proj", "blk.{bid}.attn_q", PermuteRope(n_head)),
        *tensor(f"{_BLOCK}.k_proj", "blk.{bid}.attn_k", PermuteRope(hp.n_head_kv)),
        *tensor(f"{_BLOCK}.v_proj", "blk.{bid}.attn_v"),
        *tensor(f"{_BLOCK}.attn_out", "blk.{bid}.attn_output"),
        *tensor(f"{_BLOCK}.ff_norm", "blk.{bid}.ffn_norm"),
        *tensor(f"{_BLOCK}.ff_proj", "blk.{bid}.ffn_gate"),
        *tensor(f"{_BLOCK}.up_proj", "blk.{bid}.ffn_up"),
        *tensor(f"{_BLOCK}.ff_out", "blk.{bid}.ffn_down"),
    )


DREAM = replace(
    QWEN2,
    arch="dream",
    keys=(*COMMON, *POOLING, _NOT_CAUSAL),
    vocab=("spm", "bpe-by-flags"),
)
LLADA = Family(
    arch="llada",
    keys=(
        *COMMON,
        u32("vocab_size", "vocab_size"),
        u32("rope.dimension_count", lambda hp: hp["d_model"] // hp.n_head),
        u32("context_length", lambda hp: hp.get("max_sequence_length", 4096)),
        u32("embedding_length", lambda hp: hp.get("d_model", 4096)),
        u32("feed_forward_length", lambda hp: hp.get("mlp_hidden_size", 12288)),
        _NOT_CAUSAL,
        boolean("diffusion.shift_logits", lambda hp: False),
    ),
    rules=_llada,
    prefixes=("model.transformer.",),
    vocab=("bpe-by-flags",),
    vocab_options={"after": (kv.boolean("tokenizer.ggml.add_bos_token", value=True),)},
)
