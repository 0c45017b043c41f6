"""SentencePiece BPE from tokenizer.json alone, for checkpoints without a tokenizer.model.

tokenizer.json has no scores; llama.cpp's converter writes one constant for all.
"""

from __future__ import annotations

import re

from quantize.formats.kv import KV
from quantize.vocab.added import added_tokens, special_texts
from quantize.vocab.build import VocabHints
from quantize.vocab.files import TokenizerFiles, section
from quantize.vocab.special import read_special
from quantize.vocab.spm import spm_kvs
from quantize.vocab.tokens import (
    ADDED_SCORE,
    BYTE,
    CONTROL,
    NORMAL,
    USER_DEFINED,
    Tokens,
    by_id,
    duplicate_id,
    out_of_range,
    token_table,
)

_FILE = "tokenizer.json"
_BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")


def load(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    tokens = json_tokens(files, size)
    return None if tokens is None else spm_kvs(files, tokens)


def load_unscored(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    """Without the constant, as llama.cpp's converter writes XVERSE's."""
    tokens = json_tokens(files, size)
    if tokens is None:
        return None
    kvs = tokens.kvs("llama", "default", scores=False)
    return kvs + read_special(files, size=tokens.size).kvs()


def json_tokens(files: TokenizerFiles, size: int | None) -> Tokens | None:
    """The tokens, or None unless tokenizer.json is a BPE that falls back to bytes.

    Raises CheckpointError for ids that are taken twice or are out of range.
    """
    tokenizer = files.json(_FILE) or {}
    model = section(tokenizer, "model")
    falls_back = model.get("type") == "BPE" and model.get("byte_fallback")
    if not falls_back or section(tokenizer, "decoder").get("type") != "Sequence":
        return None
    texts = by_id(model.get("vocab"), _FILE)
    added = added_tokens(files, token_table(model.get("vocab"), _FILE))
    specials = special_texts(files)
    tokens = Tokens(size if size is not None else len(texts.keys() | added.keys()))
    for token_id, text in texts.items():
        if token_id not in tokens:
            raise out_of_range(_FILE, token_id, text, tokens.size)
        tokens.set(token_id, text, _kind(text, specials), ADDED_SCORE)
    for token_id, token in added.items():
        if token_id not in tokens:
            raise out_of_range(_FILE, token_id, token.text, tokens.size)
        if token_id not in texts:
            kind = CONTROL if token.text in specials else USER_DEFINED
            tokens.set(token_id, token.text, kind, ADDED_SCORE)
        elif texts[token_id] != token.text:
            raise duplicate_id(_FILE, token_id, texts[token_id], token.text)
    return tokens


def _kind(text: str, specials: frozenset[str]) -> int:
    if _BYTE_TOKEN.fullmatch(text):
        return BYTE
    return CONTROL if text in specials else NORMAL
