"""Mamba 2, and Codestral Mamba: state-space blocks with heads, no attention."""

from __future__ import annotations

from quantize.architectures.family import Family, TensorRule, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import WITHOUT_ATTENTION, f32, u32
from quantize.architectures.ssm import mamba2_mixer


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    return (
        *tensor("embeddings", "token_embd"),
        *tensor("norm_f", "output_norm"),
        *tensor("lm_head", "output", optional=True),
        *tensor("layers.{bid}.norm", "blk.{bid}.attn_norm"),
        *mamba2_mixer("layers.{bid}.mixer", kernel=_kernel(hp), groups=_groups(hp)),
    )


# llama.cpp's converter reads config.json as it is here, with these values for what is not there.


def _kernel(hp: Hparams) -> int:
    return int(hp.get("conv_kernel") or 4)


def _groups(hp: Hparams) -> int:
    return int(hp.get("n_groups") or 1)


def _inner(hp: Hparams) -> int:
    return int(hp.get("intermediate_size") or (hp.get("expand") or 2) * hp.n_embd)


MAMBA2 = Family(
    arch="mamba2",
    keys=(
        *WITHOUT_ATTENTION,
        u32("ssm.conv_kernel", _kernel),
        u32("ssm.inner_size", _inner),
        u32("ssm.state_size", lambda hp: hp.get("state_size") or 128),
        u32("ssm.time_step_rank", lambda hp: _inner(hp) // (hp.get("head_dim") or 64)),
        u32("ssm.group_count", _groups),
        f32("attention.layer_norm_rms_epsilon", lambda hp: hp.get("layer_norm_epsilon") or 1e-5),
    ),
    rules=_rules,
    prefixes=("model.backbone.", "backbone.", "model."),
    vocab=("spm", "spm-json", "bpe"),
    vocab_options={"pad_multiple": 16},
)
