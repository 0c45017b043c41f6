"""Gemma 3n: four copies of the stream (AltUp), a low-rank side path, an embedding per layer."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from quantize.architectures.decoder import HEAD, MLP, OUTPUT_NORM, QK_NORMS, attention
from quantize.architectures.families.gemma import NO_SPACE_PREFIX, SANDWICH_NORMS
from quantize.architectures.families.gemma3 import GEMMA3
from quantize.architectures.family import (
    OTHER_MODALITIES,
    Family,
    TensorRule,
    class_defaults,
    tensor,
)
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import array, sliding_layers, u32
from quantize.transforms import PadRows, Stack

_ALTUP = "layers.{bid}.altup"
_LAUREL = "layers.{bid}.laurel"


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    # The tokens of images and sounds have ids, but no rows of their own.
    padded = PadRows(int(hp["vocab_size"]))
    return (
        TensorRule("embed_tokens.weight", "token_embd.weight", padded),
        TensorRule("embed_tokens_per_layer.weight", "per_layer_token_embd.weight", padded),
        *HEAD,
        *OUTPUT_NORM,
        TensorRule("per_layer_model_projection.weight", "per_layer_model_proj.weight"),
        TensorRule("per_layer_projection_norm.weight", "per_layer_proj_norm.weight"),
        _copies(hp, "altup_projections", "altup_proj"),
        _copies(hp, "altup_unembed_projections", "altup_unembd_proj"),
        *SANDWICH_NORMS,
        *attention(),
        *QK_NORMS,
        *MLP,
        *tensor(f"{_ALTUP}.correction_coefs", "blk.{bid}.altup_correct_coef"),
        TensorRule(f"{_ALTUP}.correct_output_scale", "blk.{bid}.altup_correct_scale.weight"),
        *tensor(f"{_ALTUP}.prediction_coefs", "blk.{bid}.altup_predict_coef"),
        *tensor(f"{_ALTUP}.modality_router", "blk.{bid}.altup_router"),
        *tensor(f"{_ALTUP}.router_norm", "blk.{bid}.altup_router_norm"),
        *tensor(f"{_LAUREL}.linear_left", "blk.{bid}.laurel_l"),
        *tensor(f"{_LAUREL}.linear_right", "blk.{bid}.laurel_r"),
        *tensor(f"{_LAUREL}.post_laurel_norm", "blk.{bid}.laurel_post_norm"),
        *tensor("layers.{bid}.per_layer_input_gate", "blk.{bid}.inp_gate"),
        *tensor("layers.{bid}.per_layer_projection", "blk.{bid}.proj"),
        *tensor("layers.{bid}.post_per_layer_input_norm", "blk.{bid}.post_norm"),
    )


def _copies(hp: Hparams, source: str, target: str) -> TensorRule:
    """The projections of all copies but the first, which is the stream itself."""
    sources = tuple(f"{source}.{copy}.weight" for copy in range(hp["altup_num_inputs"] - 1))
    return TensorRule(sources, f"{target}.weight", Stack())


def _mlp_sizes(hp: Hparams) -> list[int]:
    """One for each layer; the config class spreads a single number."""
    sizes = hp["intermediate_size"]
    return sizes if isinstance(sizes, list) else [sizes] * hp.block_count


def _sparsity(hp: Hparams) -> list[float]:
    """For each layer, how many standard deviations above the mean an activation must be to stay.

    The quantile of the normal distribution, rounded to float32 step by step as llama.cpp's
    converter (torch.distributions.Normal.icdf) does.
    """
    return [_quantile(share) for share in hp["activation_sparsity_pattern"]]


def _quantile(share: float) -> float:
    centred = float(np.float32(2) * np.float32(share) - np.float32(1))
    if abs(centred) == 1:
        return math.copysign(math.inf, centred)
    inverse_erf = np.float32(NormalDist().inv_cdf((centred + 1) / 2) / math.sqrt(2))
    return float(inverse_erf * np.float32(math.sqrt(2)))


GEMMA3N = Family(
    arch="gemma3n",
    keys=(
        *GEMMA3.keys,
        array("feed_forward_length", "INT32", _mlp_sizes),
        u32("altup.active_idx", "altup_active_idx"),
        u32("altup.num_inputs", "altup_num_inputs"),
        u32("embedding_length_per_layer_input", "hidden_size_per_layer_input"),
        u32("attention.shared_kv_layers", "num_kv_shared_layers"),
        array("activation_sparsity_scale", "FLOAT32", _sparsity),
        array("attention.sliding_window_pattern", "BOOL", sliding_layers),
    ),
    rules=_rules,
    unused=OTHER_MODALITIES,
    defaults=class_defaults(
        vocab_size=262400,
        num_attention_heads=8,
        num_key_value_heads=2,
        head_dim=256,
        rms_norm_eps=1e-6,
        max_position_embeddings=32768,
        sliding_window=512,
        rope_theta=1e6,
        rope_local_base_freq=1e4,
        hidden_size_per_layer_input=256,
        altup_active_idx=0,
        altup_num_inputs=4,
        num_kv_shared_layers=15,
        final_logit_softcapping=30.0,
    ),
    vocab=("spm", "spm-json", "bpe"),
    vocab_options={"after": (NO_SPACE_PREFIX,)},
)
