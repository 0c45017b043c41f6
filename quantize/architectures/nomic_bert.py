"""Nomic's BERT: q, k, v in one tensor, a gated MLP, RoPE instead of learned positions."""

from __future__ import annotations

from quantize.architectures.bert import ENCODER_KEYS, PREFIXES, UNUSED
from quantize.architectures.family import Family, Rule, biased, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import u32
from quantize.errors import CheckpointError, UnsupportedError

_LAYER = "encoder.layers.{bid}"

# The one variant that llama.cpp computes; a config that is silent has it.
_EXPECTED = {
    "activation_function": "swiglu",
    "causal": False,
    "prenorm": False,
    "qkv_proj_bias": False,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
}
# n_positions -> the context that the model was trained for.
_TRAINED = {8192: 2048, 2048: 512}


def _rules(hp: Hparams) -> tuple[Rule, ...]:
    _check(hp)
    return (
        Rule("embeddings.word_embeddings.weight", "token_embd.weight"),
        Rule("embeddings.token_type_embeddings.weight", "token_types.weight", optional=True),
        *biased("emb_ln", "token_embd_norm"),
        *tensor(f"{_LAYER}.attn.Wqkv", "blk.{bid}.attn_qkv"),
        *tensor(f"{_LAYER}.attn.out_proj", "blk.{bid}.attn_output"),
        *biased(f"{_LAYER}.norm1", "blk.{bid}.attn_output_norm"),
        *tensor(f"{_LAYER}.mlp.fc11", "blk.{bid}.ffn_up"),
        *tensor(f"{_LAYER}.mlp.fc12", "blk.{bid}.ffn_gate"),
        *tensor(f"{_LAYER}.mlp.fc2", "blk.{bid}.ffn_down"),
        *biased(f"{_LAYER}.norm2", "blk.{bid}.layer_output_norm"),
    )


def _check(hp: Hparams) -> None:
    if hp.get("moe_every_n_layers"):
        raise UnsupportedError(
            "nomic-moe",
            "mixtures of experts of this architecture cannot be converted",
            where="config.json: moe_every_n_layers",
        )
    for name, expected in _EXPECTED.items():
        if hp.get(name, expected) != expected:
            raise UnsupportedError(
                "nomic-variant",
                f"{name} is {hp[name]!r}, not {expected!r}",
                where="config.json",
                reason="llama.cpp computes one variant of this architecture",
            )


def _context(hp: Hparams) -> int:
    positions = hp["n_positions"]
    if hp.get("max_trained_positions", 2048) != 2048 or positions not in _TRAINED:
        raise CheckpointError(
            "unknown-context",
            f"no model with n_positions {positions} is known",
            where="config.json",
            reason="the context that the model was trained for stands nowhere; "
            f"it is known for n_positions {', '.join(map(str, _TRAINED))}",
        )
    return _TRAINED[positions]


NOMIC_BERT = Family(
    arch="nomic-bert",
    keys=(*ENCODER_KEYS, u32("context_length", _context)),
    rules=_rules,
    unused=UNUSED,
    prefixes=PREFIXES,
    vocab=("wordpiece",),
)
