"""SentencePiece BPE from tokenizer.json alone, for checkpoints without a tokenizer.model.

tokenizer.json has merges in place of scores. Both say which two pieces are joined first, so the
score of a piece is its place in the order of merges, negated. llama.cpp's converter writes one
constant for all, with which llama.cpp joins from left to right and gets other tokens than the
checkpoint's tokenizer (docs/deviations.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from quantize.formats.kv import KV, boolean
from quantize.vocab.added import added_tokens, special_texts
from quantize.vocab.build import VocabHints
from quantize.vocab.files import TokenizerFiles, bad_file, section
from quantize.vocab.pipeline import is_sentencepiece_bpe, prepends_space
from quantize.vocab.special import read_special
from quantize.vocab.spm import spm_kvs
from quantize.vocab.tokens import (
    ADDED_SCORE,
    BYTE,
    CONTROL,
    NORMAL,
    SPACE_MARK,
    UNKNOWN,
    USER_DEFINED,
    Tokens,
    by_id,
    duplicate_id,
    encode,
    out_of_range,
    token_table,
)

_FILE = "tokenizer.json"
_BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")


def load(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    """The tokens with scores, and what the pipeline does before and around a text."""
    tokens = json_tokens(files, size)
    if tokens is None:
        return None
    if hints.strict_parity:
        return spm_kvs(files, tokens)
    tokenizer = files.json(_FILE) or {}
    _set_scores(tokens, read_merged(tokenizer))
    set_types(files, tokens)
    kvs = spm_kvs(files, tokens, newer=True)
    if not prepends_space(tokenizer):
        kvs.append(boolean("tokenizer.ggml.add_space_prefix", value=False))
    return kvs


def load_unscored(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    """XVERSE's, for which llama.cpp's converter writes no scores at all."""
    if not hints.strict_parity:
        return load(files, size, hints)
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
    if not is_sentencepiece_bpe(tokenizer):
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


def read_merged(tokenizer: Mapping[str, Any]) -> list[str]:
    """The text that each merge makes, in order. Raises CheckpointError("bad-tokenizer-file")."""
    merges = section(tokenizer, "model").get("merges")
    if not isinstance(merges, list) or not merges:
        raise bad_file(_FILE, "its model has no merges, so that nothing says how tokens are joined")
    return [_merged(merge) for merge in merges]


def _merged(merge: object) -> str:
    match merge:
        case [str(left), str(right)]:
            return left + right
        case str(pair) if pair.count(" ") == 1:
            return pair.replace(" ", "")
    raise bad_file(_FILE, f"{merge!r} is no merge of two tokens")


def _set_scores(tokens: Tokens, merged: list[str]) -> None:
    """A piece's score is the place of the first merge that makes it, negated."""
    ranks: dict[bytes, int] = {}
    for rank, text in enumerate(merged):
        ranks.setdefault(encode(text), rank)
    for token_id, piece in enumerate(tokens.texts):
        if tokens.types[token_id] == NORMAL:
            tokens.scores[token_id] = float(-ranks.get(piece, len(merged)))


def set_types(files: TokenizerFiles, tokens: Tokens) -> None:
    """Added tokens are control tokens by their flag, and all are matched before anything else."""
    tokenizer = files.json(_FILE) or {}
    table = token_table(section(tokenizer, "model").get("vocab"), _FILE)
    for token_id, token in added_tokens(files, table).items():
        text = token.text if token.special else token.text.replace(SPACE_MARK, " ")
        kind = CONTROL if token.special else USER_DEFINED
        tokens.set(token_id, text, kind, ADDED_SCORE)
    unknown = table.get(str(section(tokenizer, "model").get("unk_token")))
    if unknown is not None and unknown in tokens:
        tokens.types[unknown] = UNKNOWN


def _kind(text: str, specials: frozenset[str]) -> int:
    if _BYTE_TOKEN.fullmatch(text):
        return BYTE
    return CONTROL if text in specials else NORMAL
