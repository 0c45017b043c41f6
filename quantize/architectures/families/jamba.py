"""AI21's Jamba: Mamba blocks, attention in some, experts in some."""

from __future__ import annotations

from quantize.architectures import decoder
from quantize.architectures.family import Family, TensorRule, biased, experts, on_blocks, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, u32
from quantize.transforms import NegExp, Reshape

_MAMBA = "layers.{bid}.mamba"
_FFN = "layers.{bid}.feed_forward"

_MOE = (
    *tensor(f"{_FFN}.router", "blk.{bid}.ffn_gate_inp"),
    experts(f"{_FFN}.experts.{{eid}}.gate_proj", "blk.{bid}.ffn_gate_exps"),
    experts(f"{_FFN}.experts.{{eid}}.up_proj", "blk.{bid}.ffn_up_exps"),
    experts(f"{_FFN}.experts.{{eid}}.down_proj", "blk.{bid}.ffn_down_exps"),
)


def _mamba(hp: Hparams) -> tuple[TensorRule, ...]:
    conv = Reshape((-1, _kernel(hp)))
    return (
        *tensor(f"{_MAMBA}.in_proj", "blk.{bid}.ssm_in"),
        TensorRule(f"{_MAMBA}.conv1d.weight", "blk.{bid}.ssm_conv1d.weight", conv),
        TensorRule(f"{_MAMBA}.conv1d.bias", "blk.{bid}.ssm_conv1d.bias"),
        *tensor(f"{_MAMBA}.x_proj", "blk.{bid}.ssm_x"),
        *biased(f"{_MAMBA}.dt_proj", "blk.{bid}.ssm_dt"),
        *tensor(f"{_MAMBA}.dt_layernorm", "blk.{bid}.ssm_dt_norm"),
        *tensor(f"{_MAMBA}.b_layernorm", "blk.{bid}.ssm_b_norm"),
        *tensor(f"{_MAMBA}.c_layernorm", "blk.{bid}.ssm_c_norm"),
        TensorRule(f"{_MAMBA}.A_log", "blk.{bid}.ssm_a", NegExp()),
        TensorRule(f"{_MAMBA}.D", "blk.{bid}.ssm_d"),
        *tensor(f"{_MAMBA}.out_proj", "blk.{bid}.ssm_out"),
    )


def _every(hp: Hparams, kind: str) -> range:
    """The blocks offset, offset + period, ... of `kind`."""
    offset, period = int(hp[f"{kind}_layer_offset"]), int(hp[f"{kind}_layer_period"])
    return range(offset, hp.block_count, period)


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    blocks, attention, moe = range(hp.block_count), _every(hp, "attn"), _every(hp, "expert")
    return (
        *decoder.EMBEDDING,
        *tensor("final_layernorm", "output_norm"),
        *decoder.HEAD,
        *tensor("layers.{bid}.input_layernorm", "blk.{bid}.attn_norm"),
        *tensor("layers.{bid}.pre_ff_layernorm", "blk.{bid}.ffn_norm"),
        *on_blocks(attention, decoder.attention()),
        *on_blocks([bid for bid in blocks if bid not in attention], _mamba(hp)),
        *on_blocks(moe, _MOE),
        *on_blocks([bid for bid in blocks if bid not in moe], decoder.FEED_FORWARD),
    )


def _kernel(hp: Hparams) -> int:
    return int(hp.get("mamba_d_conv") or 4)


def _heads_kv(hp: Hparams) -> list[int]:
    attention = _every(hp, "attn")
    return [hp.n_head_kv if bid in attention else 0 for bid in range(hp.block_count)]


def _time_step_rank(hp: Hparams) -> int:
    rank = hp.get("mamba_dt_rank", "auto")
    return -(-hp.n_embd // 16) if rank in (None, "auto") else int(rank)


JAMBA = Family(
    arch="jamba",
    keys=(
        u32("block_count", lambda hp: hp.block_count),
        u32("context_length", "max_position_embeddings", "n_ctx"),
        u32("embedding_length", lambda hp: hp.n_embd),
        u32("feed_forward_length", "intermediate_size"),
        u32("attention.head_count", "num_attention_heads"),
        u32("attention.head_count_kv", _heads_kv),
        u32("ssm.conv_kernel", _kernel),
        u32("ssm.inner_size", lambda hp: int(hp["mamba_expand"]) * hp.n_embd),
        u32("ssm.state_size", lambda hp: hp.get("mamba_d_state") or 16),
        u32("ssm.time_step_rank", _time_step_rank),
        f32("attention.layer_norm_rms_epsilon", lambda hp: hp.get("rms_norm_eps") or 1e-6),
        u32("expert_count", lambda hp: hp.n_expert),
        u32("expert_used_count", "num_experts_per_tok"),
    ),
    rules=_rules,
    vocab=("spm", "spm-json"),
)
