"""BERT, RoBERTa and XLM-RoBERTa: the encoders behind most embedding models and rerankers."""

from __future__ import annotations

from dataclasses import replace

from quantize.architectures.family import Family, TensorRule, biased, tensor
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import COMMON, array, boolean, u32
from quantize.architectures.pooling import POOLING
from quantize.transforms import IDENTITY, Span, Transform

PREFIXES = ("bert.", "roberta.", "model.")
# llama.cpp pools by itself, but for what is before a classifier; the heads of pre-training predict
# tokens.
UNUSED = ("embeddings.position_ids", "pooler.dense.*", "cls.predictions*", "cls.seq_relationship*")
_LAYER = "encoder.layer.{bid}"


def _encoder(hp: Hparams, positions: Transform) -> tuple[TensorRule, ...]:
    rules = (
        TensorRule("embeddings.word_embeddings.weight", "token_embd.weight"),
        TensorRule("embeddings.position_embeddings.weight", "position_embd.weight", positions),
        TensorRule("embeddings.token_type_embeddings.weight", "token_types.weight", optional=True),
        *_norm(hp, "embeddings.LayerNorm", "token_embd_norm"),
        *tensor(f"{_LAYER}.attention.self.query", "blk.{bid}.attn_q"),
        *tensor(f"{_LAYER}.attention.self.key", "blk.{bid}.attn_k"),
        *tensor(f"{_LAYER}.attention.self.value", "blk.{bid}.attn_v"),
        *tensor(f"{_LAYER}.attention.output.dense", "blk.{bid}.attn_output"),
        *_norm(hp, f"{_LAYER}.attention.output.LayerNorm", "blk.{bid}.attn_output_norm"),
        *tensor(f"{_LAYER}.intermediate.dense", "blk.{bid}.ffn_up"),
        *tensor(f"{_LAYER}.output.dense", "blk.{bid}.ffn_down"),
        *_norm(hp, f"{_LAYER}.output.LayerNorm", "blk.{bid}.layer_output_norm"),
    )
    # A classifier is one layer in BERT, behind the pooler; two in RoBERTa.
    pooler = (
        tensor("pooler.dense", "cls", optional=True) if "classifier.weight" in hp.shapes else ()
    )
    return (
        *rules,
        *pooler,
        *tensor("classifier", "cls.output", optional=True),
        *tensor("classifier.dense", "cls", optional=True),
        *tensor("classifier.out_proj", "cls.output", optional=True),
    )


def _norm(hp: Hparams, source: str, target: str) -> tuple[TensorRule, ...]:
    """A LayerNorm; the oldest checkpoints call its weight gamma and its bias beta."""
    if any(name.endswith("LayerNorm.gamma") for name in hp.shapes):
        return (
            TensorRule(f"{source}.gamma", f"{target}.weight"),
            TensorRule(f"{source}.beta", f"{target}.bias"),
        )
    return biased(source, target)


def _bert(hp: Hparams) -> tuple[TensorRule, ...]:
    return _encoder(hp, IDENTITY)


def _roberta(hp: Hparams) -> tuple[TensorRule, ...]:
    return _encoder(hp, Span(_first_position(hp), int(hp["max_position_embeddings"])))


def _first_position(hp: Hparams) -> int:
    """RoBERTa counts positions from behind the padding token's id; llama.cpp counts from 0."""
    padding = hp.get("pad_token_id")
    return 0 if padding is None else int(padding) + 1


def _labels(hp: Hparams) -> list[str] | None:
    """The classes of a classifier. Two that have no names are what a config class fills in."""
    labels = hp.get("id2label") or {}
    if not labels and hp.get("num_labels") is not None:
        labels = {index: f"LABEL_{index}" for index in range(hp["num_labels"])}
    names = [labels[key] for key in sorted(labels, key=int)]
    return None if not names or (len(names) == 2 and names[0] == "LABEL_0") else names


ENCODER_KEYS = (
    *COMMON,
    boolean("attention.causal", lambda hp: False),
    *POOLING,
    array("classifier.output_labels", "STRING", _labels),
)
_ROBERTA_KEYS = (
    *ENCODER_KEYS,
    u32("context_length", lambda hp: hp["max_position_embeddings"] - _first_position(hp)),
)
_ROBERTA_CLASS = {"layer_norm_eps": 1e-12, "type_vocab_size": 2, "pad_token_id": 1}

BERT = Family(
    arch="bert",
    keys=ENCODER_KEYS,
    rules=_bert,
    unused=UNUSED,
    prefixes=PREFIXES,
    defaults=lambda config: {"layer_norm_eps": 1e-12, "type_vocab_size": 2},
    vocab=("wordpiece", "unigram"),
    ours_only=("cls.weight", "cls.bias"),
)
ROBERTA = Family(
    arch="bert",
    keys=_ROBERTA_KEYS,
    rules=_roberta,
    unused=UNUSED,
    prefixes=PREFIXES,
    defaults=lambda config: _ROBERTA_CLASS,
    vocab=("bpe",),
)
XLM_ROBERTA = replace(ROBERTA, vocab=("unigram",))
