"""Text by diffusion: known blocks (Qwen 2's, Llama's, OLMoE's, Qwen 3's) without a causal mask."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures import decoder
from quantize.architectures.families.qwen2 import QWEN2
from quantize.architectures.families.qwen_moe import QWEN3_MOE
from quantize.architectures.family import Family, TensorRule, class_defaults, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, boolean, u32
from quantize.architectures.pooling import POOLING
from quantize.formats import kv
from quantize.transforms import PermuteRope

_NOT_CAUSAL = boolean("attention.causal", lambda hp: False)
_UNSHIFTED = boolean("diffusion.shift_logits", lambda hp: False)
_BLOCK = "blocks.{bid}"


def _llada(hp: Hparams) -> tuple[TensorRule, ...]:
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


def _llada_moe(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.UNTIED_HEAD,
        *decoder.NORMS,
        *decoder.attention(),
        *decoder.QK_NORMS,
        *decoder.MOE,
    )


DREAM = replace(
    QWEN2,
    arch="dream",
    keys=(*COMMON, *POOLING, _NOT_CAUSAL),
    vocab=("spm", "spm-json", "bpe-by-flags"),
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
        _UNSHIFTED,
    ),
    rules=_llada,
    prefixes=("model.transformer.",),
    vocab=("bpe-by-flags",),
    vocab_options={"after": (kv.boolean("tokenizer.ggml.add_bos_token", value=True),)},
)
LLADA_MOE = Family(
    arch="llada-moe",
    keys=(
        *COMMON,
        u32("expert_feed_forward_length", "expert_intermediate_size"),
        _NOT_CAUSAL,
        _UNSHIFTED,
    ),
    rules=_llada_moe,
    defaults=class_defaults(),
    # What llama.cpp's converter writes for every model of this class.
    vocab_options={"after": (kv.u32("tokenizer.ggml.mask_token_id", 156895),)},
)
RND1 = replace(QWEN3_MOE, arch="rnd1", keys=(*QWEN3_MOE.keys, _NOT_CAUSAL))
