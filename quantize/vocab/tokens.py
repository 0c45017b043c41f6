"""Tokens on their way into `tokenizer.ggml.tokens`: text, type and score, by id."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from quantize.errors import CheckpointError
from quantize.formats.kv import KV, array, string
from quantize.vocab.files import bad_file

# llama.h of llama.cpp, enum llama_token_type.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

PAD_SCORE = -10000.0
ADDED_SCORE = -1000.0

# The largest vocabularies have 2**18 tokens; a damaged vocab_size must not exhaust the memory.
MAX_VOCAB = 2**24

# SentencePiece's mark for a space, and the four texts that converters write for control tokens
# although their tokenizer files call them ordinary.
SPACE_MARK = "\N{LOWER ONE EIGHTH BLOCK}"
_SPECIAL_TEXTS = frozenset({"<pad>", "<mask>", "<2mass>", "[@BOS@]"})
_SPECIAL_FRAMES = (("<|", "|>"), ("<\uff5c", "\uff5c>"), ("<unused", ">"))


@dataclass(slots=True)
class Tokens:
    """`size` tokens; those that nobody sets are padding: `[PAD<id>]`, unused."""

    size: int
    texts: list[bytes] = field(init=False)
    scores: list[float] = field(init=False)
    types: list[int] = field(init=False)

    def __post_init__(self) -> None:
        if not 0 < self.size <= MAX_VOCAB:
            raise CheckpointError(
                "bad-vocab-size",
                f"a vocabulary of {self.size} tokens",
                where="config.json",
                reason=f"vocab_size has to be between 1 and {MAX_VOCAB}",
                hint="compare config.json with the original model's",
            )
        self.texts = [b"[PAD%d]" % i for i in range(self.size)]
        self.scores = [PAD_SCORE] * self.size
        self.types = [UNUSED] * self.size

    def __contains__(self, token_id: int) -> bool:
        return 0 <= token_id < self.size

    def set(self, token_id: int, text: str | bytes, kind: int, score: float = 0.0) -> None:
        self.texts[token_id] = encode(text)
        self.types[token_id] = kind
        self.scores[token_id] = score

    def copy(self, token_id: int, other: Tokens, other_id: int) -> None:
        self.set(token_id, other.texts[other_id], other.types[other_id], other.scores[other_id])

    def add(self, token_id: int, text: str, *, special: bool) -> None:
        """Set an added token: control if it is special or looks so, else user-defined."""
        if special or looks_special(text):
            self.set(token_id, text, CONTROL, ADDED_SCORE)
        else:
            self.set(token_id, text.replace(SPACE_MARK, " "), USER_DEFINED, ADDED_SCORE)

    def find(self, text: str) -> int | None:
        """The first id with this text."""
        wanted = encode(text)
        return self.texts.index(wanted) if wanted in self.texts else None

    def kvs(self, model: str, pre: str | None, *, scores: bool) -> list[KV]:
        """The key-values that every vocabulary starts with, in llama.cpp's order."""
        kvs = [string("tokenizer.ggml.model", model)]
        if pre is not None:
            kvs.append(string("tokenizer.ggml.pre", pre))
        kvs.append(array("tokenizer.ggml.tokens", "STRING", self.texts))
        if scores:
            kvs.append(array("tokenizer.ggml.scores", "FLOAT32", self.scores))
        kvs.append(array("tokenizer.ggml.token_type", "INT32", self.types))
        return kvs


def encode(text: str | bytes) -> bytes:
    # JSON may hold half a surrogate pair; no tokenizer can ever match such a token.
    return text if isinstance(text, bytes) else text.encode("utf-8", "replace")


def looks_special(text: str) -> bool:
    """Whether an added token is a control token by its looks (llama.cpp's converter's rule)."""
    return text in _SPECIAL_TEXTS or any(
        text.startswith(left) and text.endswith(right) for left, right in _SPECIAL_FRAMES
    )


def token_table(vocab: Any, where: str) -> dict[str, int]:
    """A JSON object of ids by text. Raises CheckpointError("bad-tokenizer-file")."""
    if not isinstance(vocab, dict) or not vocab:
        raise bad_file(where, "it has no table of tokens")
    # All at once: a loop over a large vocabulary takes longer than all else that is planned.
    if set(map(type, vocab.values())) != {int} or min(vocab.values()) < 0:
        text, token_id = next(item for item in vocab.items() if not is_id(item[1]))
        raise bad_file(where, f"token {text!r} has the id {token_id!r}")
    return vocab


def is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def by_id(vocab: Any, where: str) -> dict[int, str]:
    """Texts by id. Raises CheckpointError("duplicate-token-id") if two tokens share one."""
    table = token_table(vocab, where)
    texts = {token_id: text for text, token_id in table.items()}
    if len(texts) < len(table):
        first: dict[int, str] = {}
        for text, token_id in table.items():
            if first.setdefault(token_id, text) != text:
                raise duplicate_id(where, token_id, first[token_id], text)
    return texts


def duplicate_id(where: str, token_id: int, first: str, second: str) -> CheckpointError:
    return CheckpointError(
        "duplicate-token-id",
        f"the tokens {first!r} and {second!r} have the same id {token_id}",
        where=where,
        reason="one row of the embedding cannot stand for two tokens",
        hint="compare the file with the original model's; an editing script may have damaged it",
    )


def out_of_range(where: str, token_id: int, text: str, size: int) -> CheckpointError:
    return CheckpointError(
        "token-id-out-of-range",
        f"token {text!r} has the id {token_id}, but the vocabulary has {size} tokens",
        where=where,
        reason="the embedding has no row for it",
        hint="check vocab_size in config.json; tokens may have been added without resizing",
    )
