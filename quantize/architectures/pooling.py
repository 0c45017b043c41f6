"""How an embedding model makes one vector of its tokens', as sentence-transformers records it."""

from __future__ import annotations

from collections.abc import Iterable

from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import u32
from quantize.architectures.sentence_modules import modules_of
from quantize.errors import CheckpointError, UsageError
from quantize.formats.kv import KV

# llama.h, enum llama_pooling_type.
NO_POOLING, MEAN, CLS, LAST = 0, 1, 2, 3
# Switches of the Pooling module's config.json, in the order in which they count.
_SWITCHES = (
    ("pooling_mode_mean_tokens", MEAN),
    ("pooling_mode_cls_token", CLS),
    ("pooling_mode_lasttoken", LAST),
)
_MODES = {"mean": MEAN, "cls": CLS, "lasttoken": LAST}


def _pooling_type(hp: Hparams) -> int | None:
    """From the first Pooling module that modules.json lists; None if there is none."""
    module = next((one for one in modules_of(hp) if one.kind == "Pooling"), None)
    if module is None:
        return None
    for switch, kind in _SWITCHES:
        if module.config.get(switch):
            return kind
    if module.config.get("pooling_mode") in _MODES:
        return _MODES[module.config["pooling_mode"]]
    raise CheckpointError(
        "unknown-pooling",
        "no pooling that llama.cpp knows is switched on",
        where=f"{module.folder}/config.json",
        reason="llama.cpp pools by mean, by the first (cls) or by the last token",
    )


def _classifier_pooling(hp: Hparams) -> int | None:
    """What a classifier looks at, where config.json says it (ModernBERT)."""
    mode = hp.get("classifier_pooling")
    if mode is None:
        return None
    if mode not in ("mean", "cls"):
        raise CheckpointError(
            "unknown-pooling",
            f"classifier_pooling is {mode!r}",
            where="config.json",
            reason="llama.cpp pools by mean or by the first token (cls) before a classifier",
        )
    return _MODES[mode]


POOLING = (
    u32("pooling_type", _pooling_type),
    u32("classifier.pooling_type", _classifier_pooling),
)

# What --pooling takes: llama.h, enum llama_pooling_type.
KINDS = {"none": NO_POOLING, "mean": MEAN, "cls": CLS, "last": LAST, "rank": 4}

# Architectures that are there for vectors: without pooling_type Ollama takes them for chat models,
# and llama.cpp gives a vector for each token.
EMBEDDERS = frozenset({
    "bert", "eurobert", "gemma-embedding", "jina-bert-v2", "modern-bert", "neo-bert", "nomic-bert",
    "nomic-bert-moe",
})  # fmt: skip


def with_pooling(kvs: list[KV], arch: str, wanted: str | None) -> list[KV]:
    """The key-values with the pooling that `--pooling` asks for, if it asks for any.

    Raises UsageError for one that llama.cpp does not know.
    """
    if wanted is None:
        return kvs
    if wanted not in KINDS:
        raise UsageError(
            "unknown-pooling-option",
            f"{wanted!r} is no kind of pooling",
            where="--pooling",
            hint=f"one of {', '.join(KINDS)}",
        )
    key = f"{arch}.pooling_type"
    return [*(kv for kv in kvs if kv.key != key), KV(key, "UINT32", KINDS[wanted])]


def notes_on_pooling(kvs: Iterable[KV], arch: str, tensors: Iterable[str]) -> tuple[str, ...]:
    """A question, where an embedding model's files name no pooling. A classifier needs none."""
    named = any(kv.key == f"{arch}.pooling_type" for kv in kvs)
    if named or arch not in EMBEDDERS or any(name.startswith("cls.") for name in tensors):
        return ()
    question = (
        "no file says how the vectors of tokens become one: give --pooling mean, cls or last, "
        "as the model's page says; llama.cpp gives a vector for each token otherwise"
    )
    return (question,)
