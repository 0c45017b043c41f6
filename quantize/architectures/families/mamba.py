"""Mamba and Falcon Mamba: state-space blocks only, no attention."""

from __future__ import annotations

from quantize.architectures.family import Family, TensorRule, biased, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import WITHOUT_ATTENTION, boolean, f32, u32
from quantize.transforms import NegExp, Reshape


def _tied(hp: Hparams) -> bool:
    return bool(hp.get("tie_word_embeddings", True))


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    conv = "layers.{bid}.mixer.conv1d"
    return (
        *tensor("embeddings", "token_embd"),
        *tensor("norm_f", "output_norm"),
        *(() if _tied(hp) else tensor("lm_head", "output")),
        *tensor("layers.{bid}.norm", "blk.{bid}.attn_norm"),
        *tensor("layers.{bid}.mixer.in_proj", "blk.{bid}.ssm_in"),
        TensorRule(f"{conv}.weight", "blk.{bid}.ssm_conv1d.weight", Reshape((-1, _kernel(hp)))),
        TensorRule(f"{conv}.bias", "blk.{bid}.ssm_conv1d.bias"),
        *tensor("layers.{bid}.mixer.x_proj", "blk.{bid}.ssm_x"),
        *biased("layers.{bid}.mixer.dt_proj", "blk.{bid}.ssm_dt"),
        TensorRule("layers.{bid}.mixer.A_log", "blk.{bid}.ssm_a", NegExp()),
        TensorRule("layers.{bid}.mixer.D", "blk.{bid}.ssm_d"),
        *tensor("layers.{bid}.mixer.out_proj", "blk.{bid}.ssm_out"),
    )


# llama.cpp's converter reads config.json as it is here, with these values for what is not there.


def _kernel(hp: Hparams) -> int:
    return int(hp.get("conv_kernel") or 4)


def _time_step_rank(hp: Hparams) -> int:
    rank = hp.get("time_step_rank")
    return -(-hp.n_embd // 16) if rank in (None, "auto") else int(rank)


MAMBA = Family(
    arch="mamba",
    keys=(
        *WITHOUT_ATTENTION,
        u32("ssm.conv_kernel", _kernel),
        u32("ssm.inner_size", lambda hp: hp.get("intermediate_size") or 2 * hp.n_embd),
        u32("ssm.state_size", lambda hp: hp.get("state_size") or 16),
        u32("ssm.time_step_rank", _time_step_rank),
        f32("attention.layer_norm_rms_epsilon", lambda hp: hp.get("layer_norm_epsilon") or 1e-5),
        boolean("ssm.dt_b_c_rms", lambda hp: hp.get("model_type") == "falcon_mamba"),
    ),
    rules=_rules,
    unused=lambda hp: ("lm_head.weight",) if _tied(hp) else (),
    prefixes=("backbone.",),
    vocab=("bpe", "spm", "spm-json"),
    vocab_options={"pad_multiple": 8},
)
