"""Nomic's BERT: q, k, v in one tensor, a gated MLP, RoPE instead of learned positions."""

from __future__ import annotations

from collections.abc import Mapping

from quantize.architectures.families.bert import ENCODER_KEYS, PREFIXES, UNUSED
from quantize.architectures.family import Family, TensorRule, biased, on_blocks, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import u32
from quantize.errors import CheckpointError, UnsupportedError
from quantize.transforms import Reshape, Transpose, chain

_LAYER = "encoder.layers.{bid}"

# What llama.cpp computes; a config that is silent has it.
_EXPECTED = {
    "causal": False,
    "prenorm": False,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
}
_DENSE = {
    **_EXPECTED,
    "activation_function": "swiglu",
    "qkv_proj_bias": False,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
}
_MOE = {
    **_EXPECTED,
    "activation_function": "gelu",
    "qkv_proj_bias": True,
    "mlp_fc1_bias": True,
    "mlp_fc2_bias": True,
}
# n_positions -> the context that the model was trained for.
_TRAINED = {8192: 2048, 2048: 512}


def _encoder() -> tuple[TensorRule, ...]:
    return (
        TensorRule("embeddings.word_embeddings.weight", "token_embd.weight"),
        TensorRule("embeddings.token_type_embeddings.weight", "token_types.weight", optional=True),
        *biased("emb_ln", "token_embd_norm"),
        *tensor(f"{_LAYER}.attn.Wqkv", "blk.{bid}.attn_qkv"),
        *tensor(f"{_LAYER}.attn.out_proj", "blk.{bid}.attn_output"),
        *biased(f"{_LAYER}.norm1", "blk.{bid}.attn_output_norm"),
        *biased(f"{_LAYER}.norm2", "blk.{bid}.layer_output_norm"),
    )


def _dense(hp: Hparams) -> tuple[TensorRule, ...]:
    _check(hp, _DENSE)
    return (
        *_encoder(),
        *tensor(f"{_LAYER}.mlp.fc11", "blk.{bid}.ffn_up"),
        *tensor(f"{_LAYER}.mlp.fc12", "blk.{bid}.ffn_gate"),
        *tensor(f"{_LAYER}.mlp.fc2", "blk.{bid}.ffn_down"),
    )


def _moe(hp: Hparams) -> tuple[TensorRule, ...]:
    """Experts in the second of every so many blocks, all of a block in one tensor."""
    _check(hp, _MOE)
    experts = f"{_LAYER}.mlp.experts.mlp"
    stack = Reshape((hp.n_expert, int(hp["n_inner"]), hp.n_embd))
    blocks, period = range(hp.block_count), int(hp["moe_every_n_layers"])
    mlp = (
        *biased(f"{_LAYER}.mlp.fc1", "blk.{bid}.ffn_up"),
        *biased(f"{_LAYER}.mlp.fc2", "blk.{bid}.ffn_down"),
    )
    moe = (
        *tensor(f"{_LAYER}.mlp.router.layer", "blk.{bid}.ffn_gate_inp"),
        TensorRule(f"{experts}.w1", "blk.{bid}.ffn_up_exps.weight", stack),
        TensorRule(
            f"{experts}.w2", "blk.{bid}.ffn_down_exps.weight", chain(stack, Transpose((0, 2, 1)))
        ),
    )
    return (
        *_encoder(),
        *on_blocks([bid for bid in blocks if bid % period != 1], mlp),
        *on_blocks([bid for bid in blocks if bid % period == 1], moe),
    )


def _check(hp: Hparams, expected: Mapping[str, object]) -> None:
    for name, value in expected.items():
        if hp.get(name, value) != value:
            raise UnsupportedError(
                "nomic-variant",
                f"{name} is {hp[name]!r}, not {value!r}",
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
            reason="no file names the context that the model was trained for; "
            f"it is known for n_positions {', '.join(map(str, _TRAINED))}",
        )
    return _TRAINED[positions]


_KEYS = (*ENCODER_KEYS, u32("context_length", _context))

_WITH_EXPERTS = Family(
    arch="nomic-bert-moe",
    keys=(
        *_KEYS,
        u32("moe_every_n_layers", "moe_every_n_layers"),
        u32("expert_used_count", "moe_top_k"),
    ),
    rules=_moe,
    # llama.cpp has no place for the experts' common bias.
    unused=(*UNUSED, "*.mlp.experts.bias"),
    prefixes=PREFIXES,
    vocab=("unigram", "wordpiece"),
)
NOMIC_BERT = Family(
    arch="nomic-bert",
    keys=_KEYS,
    rules=_dense,
    unused=UNUSED,
    prefixes=PREFIXES,
    vocab=("wordpiece", "unigram"),
    variant=lambda config: _WITH_EXPERTS if config.get("moe_every_n_layers") else None,
)
