"""What a finished vocabulary can have that loads, and cuts texts wrongly."""

from __future__ import annotations

import re

from quantize.formats.kv import KeyValues
from quantize.vocab.tokens import NORMAL

# Vocabularies whose pieces are joined by their scores.
_SCORED = ("llama", "t5")
# Tokens of chats: <|im_start|>, <|turn>, <turn|>, <start_of_turn>, [INST], [/INST].
_FRAMED = re.compile(r"<\|[^<>|\s]+\|?>|<[^<>|\s]+\|>|</?[a-z]+(?:_[a-z]+)+>|\[/?[A-Z][A-Z_]+\]")


def has_equal_scores(kvs: KeyValues) -> bool:
    """Whether nothing says which pieces are joined first: llama.cpp goes from left to right."""
    tokens = kvs.value("tokenizer.ggml.tokens") or ()
    scores = kvs.value("tokenizer.ggml.scores") or (0.0,) * len(tokens)
    if kvs.value("tokenizer.ggml.model") not in _SCORED:
        return False
    types = kvs.value("tokenizer.ggml.token_type") or ()
    joined = [
        score
        for token, kind, score in zip(tokens, types, scores, strict=False)
        if kind == NORMAL and len(_text(token)) > 1
    ]
    return len(joined) > 1 and len(set(joined)) == 1


def normal_in_template(kvs: KeyValues) -> list[str]:
    """Tokens that mark parts of the chat template, and are typed as normal text."""
    template = kvs.value("tokenizer.chat_template")
    framed = set(_FRAMED.findall(template)) if isinstance(template, str) else set()
    if not framed:
        return []
    tokens = kvs.value("tokenizer.ggml.tokens") or ()
    types = kvs.value("tokenizer.ggml.token_type") or ()
    return [
        _text(token)
        for token, kind in zip(tokens, types, strict=False)
        if kind == NORMAL and _text(token) in framed
    ]


def doubts(kvs: KeyValues) -> tuple[str, ...]:
    """A line for each."""
    found = []
    if has_equal_scores(kvs):
        found.append("all scores of the vocabulary are equal, so that llama.cpp cuts texts wrongly")
    if normal := normal_in_template(kvs):
        found.append(
            f"tokens of the chat template are typed as normal text: {', '.join(normal)}; prompts "
            "are made of their letters"
        )
    return tuple(found)


def _text(token: str | bytes) -> str:
    return token.decode("utf-8", "replace") if isinstance(token, bytes) else token
