"""Llama 1 to 3, Mistral, Mixtral, SmolLM2 and the many models that share their layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from quantize.architectures import decoder
from quantize.architectures.family import OTHER_MODALITIES, Family, TensorRule, experts
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, u32
from quantize.formats import kv
from quantize.transforms import PermuteRope

_MOE = "layers.{bid}.block_sparse_moe"

MIXTRAL_MOE = (
    TensorRule(f"{_MOE}.gate.weight", "blk.{bid}.ffn_gate_inp.weight"),
    experts(f"{_MOE}.experts.{{eid}}.w1", "blk.{bid}.ffn_gate_exps"),
    experts(f"{_MOE}.experts.{{eid}}.w2", "blk.{bid}.ffn_down_exps"),
    experts(f"{_MOE}.experts.{{eid}}.w3", "blk.{bid}.ffn_up_exps"),
)


# In the config of a checkpoint in Mistral's own format, which has the rows of q and k as llama.cpp.
_INTERLEAVED = "mistral_interleaved_rope"


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    permute = () if hp.get(_INTERLEAVED) else (PermuteRope(hp.n_head), PermuteRope(hp.n_head_kv))
    return (
        *decoder.EMBEDDING,
        *decoder.OUTPUT_NORM,
        *decoder.HEAD,
        *decoder.NORMS,
        *decoder.attention(*permute),
        *(MIXTRAL_MOE if hp.n_expert else decoder.MLP),
    )


def _defaults(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """LlamaConfig fills in head_dim and rope_theta; MixtralConfig and MistralConfig do alike."""
    heads = config.get("num_attention_heads", 32)
    filled = {"rope_theta": 10000.0, "num_key_value_heads": heads}
    if config.get("model_type") == "llama":
        filled["head_dim"] = config.get("hidden_size", 4096) // heads
    return filled


LLAMA = Family(
    arch="llama",
    keys=(
        *COMMON,
        u32("vocab_size", "vocab_size"),
        u32("rope.dimension_count", lambda hp: hp.head_dim),
    ),
    rules=_rules,
    unused=OTHER_MODALITIES,
    defaults=_defaults,
    generated=decoder.llama3_rope_freqs,
    vocab=("tekken", "spm-mistral", "spm", "spm-json", "bpe"),
    vocab_options={
        "space_prefix": "first",
        # Told by their size alone: CodeLlama's end of an infill, and small Granite's missing BOS.
        "by_size": {
            32016: (kv.u32("tokenizer.ggml.eot_token_id", 32010),),
            49152: (kv.boolean("tokenizer.ggml.add_bos_token", value=False),),
        },
    },
)

# Made to embed texts: the same layout, read in both directions.
LLAMA_EMBED = replace(LLAMA, arch="llama-embed")
