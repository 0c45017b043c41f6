"""Mistral's own format: params.json and consolidated.safetensors, as if transformers had saved it.

Both are described in mistral-inference (args.py, transformer_layers.py). Names and hparams become
those of transformers; the rows of q and k stay in the order of pairs, which llama.cpp wants and
transformers does not have: `INTERLEAVED` tells families so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from quantize.errors import CheckpointError, UnsupportedError
from quantize.tensors import StoredTensor

PARAMS = "params.json"
INDEX = "consolidated.safetensors.index.json"
SHARD = re.compile(r"consolidated[^/]*\.safetensors")

# In the config: rows of q and k are not those of transformers.
INTERLEAVED = "mistral_interleaved_rope"

_EMBEDDING = "tok_embeddings.weight"

# Parts of names, as they are and in transformers.
_NAMES = (
    (r"^tok_embeddings\.", "model.embed_tokens."),
    (r"^norm\.", "model.norm."),
    (r"^output\.", "lm_head."),
    (r"^layers\.", "model.layers."),
    (r"\.attention\.w([qkvo])\.", r".self_attn.\1_proj."),
    (r"\.attention_norm\.", ".input_layernorm."),
    (r"\.ffn_norm\.", ".post_attention_layernorm."),
    (r"\.feed_forward\.(gate|experts)\.", r".block_sparse_moe.\1."),
    (r"\.feed_forward\.w1\.", ".mlp.gate_proj."),
    (r"\.feed_forward\.w2\.", ".mlp.down_proj."),
    (r"\.feed_forward\.w3\.", ".mlp.up_proj."),
    (r"\.qscale_weight$", ".weight_scale"),
    (r"\.qscale_act$", ".input_scale"),
)
_NAMES_COMPILED = tuple((re.compile(pattern), name) for pattern, name in _NAMES)
# What sees and hears.
_OTHERS = re.compile(r"vision_|patch_merger\.|pre_mm_projector_norm\.|mm_(streams|whisper)_")

# Ours -> theirs, for all models.
_NEEDED = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "head_dim": "head_dim",
    "intermediate_size": "hidden_dim",
    "num_attention_heads": "n_heads",
    "num_key_value_heads": "n_kv_heads",
    "rms_norm_eps": "norm_eps",
    "vocab_size": "vocab_size",
}
_ROPE_THETA = 10000.0  # of models that say nothing (args.py: TransformerArgs)
_CONTEXT = ("max_position_embeddings", "max_seq_len")
_FP8 = "fp8_e4m3"


def is_mistral_format(files: Collection[str], stored: Collection[str]) -> bool:
    """Whether weights with these names are described by params.json."""
    return PARAMS in files and _EMBEDDING in stored


def renamed(stored: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """The language model's tensors under the names of transformers."""
    return {
        new: replace(tensor, name=new)
        for old, tensor in stored.items()
        if not _OTHERS.match(old)
        for new in [_new_name(old)]
    }


def _new_name(name: str) -> str:
    for pattern, new in _NAMES_COMPILED:
        name = pattern.sub(new, name)
    return name


def config_of(params: Any) -> dict[str, Any]:
    """The config.json that transformers would have. Raises CheckpointError, UnsupportedError."""
    if not isinstance(params, Mapping):
        raise _bad("it is not a JSON object")
    if "yarn" in params and "llama_4_scaling" not in params:
        raise _unknown("yarn without llama_4_scaling")
    if any(key in params for key in ("q_lora_rank", "kv_lora_rank")):
        raise _unknown("latent attention (Mistral Large 3)")
    missing = [theirs for theirs in _NEEDED.values() if theirs not in params]
    if missing:
        raise _bad(f"it lacks {', '.join(missing)}")
    context = next((params[key] for key in _CONTEXT if key in params), None)
    if context is None:
        raise CheckpointError(
            "missing-hparam",
            "nothing says how long a text may be",
            where=PARAMS,
            reason="llama.cpp loads no model without its context length",
            hint='add "max_position_embeddings", as the model\'s page says it',
        )
    config: dict[str, Any] = {ours: params[theirs] for ours, theirs in _NEEDED.items()}
    return {
        **config,
        INTERLEAVED: True,
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "max_position_embeddings": context,
        "rope_theta": params.get("rope_theta", _ROPE_THETA),
        "tie_word_embeddings": bool(params.get("tied_embeddings")),
        **_experts(params.get("moe")),
        **_long_context(params),
        **_quantization(params.get("quantization")),
    }


def _experts(moe: Any) -> dict[str, Any]:
    if moe is None:
        return {}
    if not isinstance(moe, Mapping) or not {"num_experts", "num_experts_per_tok"} <= moe.keys():
        raise _bad(f"moe is {moe!r}")
    return {
        "architectures": ["MixtralForCausalLM"],
        "model_type": "mixtral",
        "num_local_experts": moe["num_experts"],
        "num_experts_per_tok": moe["num_experts_per_tok"],
    }


def _long_context(params: Mapping[str, Any]) -> dict[str, Any]:
    """Ministral 3's RoPE. Source of the last two: llama.cpp's converter, set_mistral_config."""
    if "llama_4_scaling" not in params:
        return {}
    yarn, scaling = params.get("yarn"), params["llama_4_scaling"]
    wanted = {"factor", "beta", "alpha", "original_max_position_embeddings", "apply_scale"}
    if not isinstance(yarn, Mapping) or not wanted <= yarn.keys():
        raise _bad(f"yarn is {yarn!r}")
    if not isinstance(scaling, Mapping) or "beta" not in scaling:
        raise _bad(f"llama_4_scaling is {scaling!r}")
    return {
        "architectures": ["Ministral3ForCausalLM"],
        "model_type": "ministral3",
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": params.get("rope_theta", _ROPE_THETA),
            "factor": yarn["factor"],
            "beta_fast": yarn["beta"],
            "beta_slow": yarn["alpha"],
            "original_max_position_embeddings": yarn["original_max_position_embeddings"],
            "mscale_all_dim": 0.0 if yarn["apply_scale"] else 1.0,
            "llama_4_scaling_beta": scaling["beta"],
        },
    }


def _quantization(declared: Any) -> dict[str, Any]:
    if declared is None:
        return {}
    kind = declared.get("qformat_weight") if isinstance(declared, Mapping) else declared
    if kind != _FP8:
        raise _unknown(f"weights quantized as {kind!r}")
    return {"quantization_config": {"quant_method": "fp8", "weight_block_size": None}}


def _bad(reason: str) -> CheckpointError:
    return CheckpointError(
        "bad-params",
        "it does not describe a model of Mistral's",
        where=PARAMS,
        reason=reason,
        hint="download it again, or give the model's Hugging Face version (config.json)",
    )


def _unknown(what: str) -> UnsupportedError:
    return UnsupportedError(
        "unknown-mistral-format",
        f"{what} cannot be read in Mistral's own format",
        where=PARAMS,
        reason="its layout is another one than that of the models that can be read",
        hint="give the model's Hugging Face version (config.json and model*.safetensors)",
    )
