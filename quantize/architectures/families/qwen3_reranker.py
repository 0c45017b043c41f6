"""Qwen3-Reranker: a Qwen 3 whose answer is how much likelier it says "yes" than "no".

Its config.json is that of a language model; only its name tells. llama.cpp ranks with a classifier
of two rows, those of the two tokens, and a prompt of its own, as the model's card describes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.architectures.family import TensorRule
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import array, string, u32
from quantize.errors import CheckpointError
from quantize.transforms import PickRows

_NAMES = ("qwen3-reranker", "qwen3-vl-reranker")
# llama.h, enum llama_pooling_type.
_RANK = 4
# The answers in the order of the classifier's rows.
_ANSWERS = ("yes", "no")
_PROMPT = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n<Instruct>: Given a web search query, retrieve relevant passages that "
    "answer the query\n<Query>: {query}\n<Document>: {document}<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n"
)


def is_reranker(hp: Hparams) -> bool:
    """As llama.cpp's converter tells: by folder, by config.json, or by the card's heading."""
    folder, _, card = hp.names.partition("\n")
    said = " ".join([folder, str(hp.get("_name_or_path", "")).lower()])
    return any(name in said or f"# {name}" in card for name in _NAMES)


def rerank_head(hp: Hparams) -> tuple[TensorRule, ...]:
    """The classifier in place of the output matrix; nothing for other models."""
    if not is_reranker(hp):
        return ()
    tied = bool(hp.get("tie_word_embeddings"))
    pick = PickRows(_token_ids(hp, _ANSWERS))
    head = TensorRule("lm_head.weight", "output.weight", optional=True)
    source = "embed_tokens.weight" if tied else "lm_head.weight"
    return (TensorRule(source, "cls.output.weight", pick), *((head,) if tied else ()))


def _token_ids(hp: Hparams, tokens: tuple[str, ...]) -> tuple[int, ...]:
    tokenizer = hp.read_json("tokenizer.json") or {}
    added = {one["content"]: one["id"] for one in tokenizer.get("added_tokens", ())}
    vocabulary: Mapping[str, Any] = {
        **(hp.read_json("vocab.json") or {}),
        **tokenizer.get("model", {}).get("vocab", {}),
        **added,
    }
    missing = [token for token in tokens if token not in vocabulary]
    if missing:
        raise CheckpointError(
            "missing-token",
            f"its tokenizer has no token {missing[0]!r}",
            where="tokenizer.json",
            reason="Qwen3-Reranker answers with it, and its row of weights is the classifier",
            hint="download the tokenizer's files again",
        )
    return tuple(int(vocabulary[token]) for token in tokens)


def _only(value: Any) -> Any:
    return lambda hp: value if is_reranker(hp) else None


RERANK = (
    u32("pooling_type", _only(_RANK)),
    array("classifier.output_labels", "STRING", _only(_ANSWERS)),
    string("tokenizer.chat_template.rerank", _only(_PROMPT)),
    array("tokenizer.chat_templates", "STRING", _only(("rerank",))),
)
