"""RWKV 7 (Goose), in the layouts of flash-linear-attention and of RWKV's own class."""

from __future__ import annotations

from collections.abc import Callable

from quantize.architectures.families.rwkv6 import ENDLESS, NO_HEADS, VECTOR
from quantize.architectures.family import Family, TensorRule, biased, on_blocks, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import f32, u32
from quantize.transforms import Stack, Transpose

_MIX = "blk.{bid}.time_mix"
_CHANNEL = "blk.{bid}.channel_mix"


def _is_fla(hp: Hparams) -> bool:
    return any("_lora.lora." in name for name in hp.shapes)


def _low_rank(hp: Hparams, source: str, letter: str, target: str | None = None) -> list[TensorRule]:
    """The two factors of a low-rank projection and its constant; the gate has none."""
    goal = f"{_MIX}_{target or letter}"
    if _is_fla(hp):
        lora = f"{source}.{letter}_lora.lora"
        rules = [
            TensorRule(f"{lora}.0.weight", f"{goal}1.weight"),
            TensorRule(f"{lora}.2.weight", f"{goal}2.weight"),
            TensorRule(f"{lora}.2.bias", f"{goal}0.weight"),
        ]
    else:
        rules = [
            TensorRule(f"{source}.{letter}1", f"{goal}1.weight", Transpose()),
            TensorRule(f"{source}.{letter}2", f"{goal}2.weight", Transpose()),
            TensorRule(f"{source}.{letter}0", f"{goal}0.weight", VECTOR),
        ]
    return rules[:2] if letter == "g" else rules


def _time_mixing(hp: Hparams, source: str) -> tuple[TensorRule, ...]:
    fla = _is_fla(hp)
    names = ("r_proj", "k_proj", "v_proj", "o_proj") if fla else (
        "receptance", "key", "value", "output",
    )  # fmt: skip
    targets = ("receptance", "key", "value", "output")
    lerp = tuple(f"{source}.x_{letter}" for letter in "rwkvag")
    return (
        TensorRule(lerp, f"{_MIX}_lerp_fused.weight", Stack()),
        *_low_rank(hp, source, "w"),
        *_low_rank(hp, source, "a"),
        *_low_rank(hp, source, "g"),
        # The first block adds nothing to its values; llama.cpp wants tensors there all the same,
        # and its converter gives it those of a.
        *on_blocks((0,), _low_rank(hp, source, "a", "v")),
        *on_blocks(range(1, hp.block_count), _low_rank(hp, source, "v")),
        TensorRule(f"{source}.k_k", f"{_MIX}_k_k.weight", VECTOR),
        TensorRule(f"{source}.k_a", f"{_MIX}_k_a.weight", VECTOR),
        TensorRule(f"{source}.r_k", f"{_MIX}_r_k.weight", VECTOR),
        *(
            rule
            for name, target in zip(names, targets, strict=True)
            for rule in tensor(f"{source}.{name}", f"{_MIX}_{target}")
        ),
        *biased(f"{source}.{'g_norm' if fla else 'ln_x'}", f"{_MIX}_ln"),
    )


def _rules(hp: Hparams) -> tuple[TensorRule, ...]:
    if _is_fla(hp):
        layer, attention, ffn = "layers.{bid}", "attn", "ffn"
        norms = ("layers.0.pre_norm", "attn_norm", "ffn_norm", "norm", "lm_head")
    else:
        layer, attention, ffn = "blocks.{bid}", "attention", "feed_forward"
        norms = ("pre_ln", "ln1", "ln2", "ln_out", "head")
    first, before, between, last, head = norms
    return (
        *tensor("embeddings", "token_embd"),
        *biased(first, "token_embd_norm"),
        *biased(f"{layer}.{before}", "blk.{bid}.attn_norm"),
        *biased(f"{layer}.{between}", "blk.{bid}.attn_norm_2"),
        *biased(last, "output_norm"),
        *tensor(head, "output"),
        *_time_mixing(hp, f"{layer}.{attention}"),
        TensorRule(f"{layer}.{ffn}.x_k", f"{_CHANNEL}_lerp_k.weight", VECTOR),
        *tensor(f"{layer}.{ffn}.key", f"{_CHANNEL}_key"),
        *tensor(f"{layer}.{ffn}.value", f"{_CHANNEL}_value"),
    )


def _unused(hp: Hparams) -> tuple[str, ...]:
    """What some checkpoints hold for the values of the first block."""
    return ("layers.0.attn.v_lora.*", "blocks.0.attention.v[012]")


def _rank(own: str, fla: str, exponent: float, factor: float) -> Callable[[Hparams], int]:
    """As config.json says it, else as the model's code derives it from the width."""

    def rank(hp: Hparams) -> int:
        found = hp.get(own, hp.get(fla))
        if found is not None:
            return int(found)
        wanted: float = hp.n_embd**exponent * factor
        return max(1, round(wanted / 32)) * 32

    return rank


def _mlp_size(hp: Hparams) -> int:
    size = hp.get("intermediate_size")
    return 4 * hp.n_embd if size is None else int(size)


RWKV7 = Family(
    arch="rwkv7",
    keys=(
        ENDLESS,
        u32("embedding_length", "hidden_size"),
        u32("block_count", lambda hp: hp.block_count),
        f32("attention.layer_norm_epsilon", "layer_norm_epsilon", "norm_eps"),
        u32("wkv.head_size", "head_size", "head_dim"),
        u32("attention.decay_lora_rank", _rank("lora_rank_decay", "decay_low_rank_dim", 0.5, 1.8)),
        u32("attention.iclr_lora_rank", _rank("lora_rank_iclr", "a_low_rank_dim", 0.5, 1.8)),
        u32(
            "attention.value_residual_mix_lora_rank",
            _rank("lora_rank_value_residual_mix", "v_low_rank_dim", 0.5, 1.3),
        ),
        u32("attention.gate_lora_rank", _rank("lora_rank_gate", "gate_low_rank_dim", 0.8, 0.6)),
        u32("feed_forward_length", _mlp_size),
        NO_HEADS,
    ),
    rules=_rules,
    unused=_unused,
    prefixes=("model.",),
    vocab=("rwkv",),
)
