"""SentencePiece BPE from tokenizer.model: llama.cpp's model "llama"."""

from __future__ import annotations

from typing import Any

from quantize.formats.kv import KV
from quantize.vocab.build import VocabHints
from quantize.vocab.files import TokenizerFiles, bad_file, entries, is_newer_json, section
from quantize.vocab.special import read_special, token_text
from quantize.vocab.tokens import (
    ADDED_SCORE,
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Tokens,
    is_id,
    token_table,
)

_FILE = "tokenizer.model"


def load(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    """Pieces, then added_tokens.json, then added_tokens_decoder; a later text replaces an id's."""
    pieces = open_pieces(files, _FILE)
    if pieces is None:
        return None
    tokens = piece_tokens(pieces, size)
    set_added_tokens(files, tokens)
    for token_id, text, special in added_by_decoder(files):
        if token_id in tokens:
            tokens.add(token_id, text, special=special)
    newer = set_newer_tokens(files, tokens, hints)
    return spm_kvs(files, tokens, newer=newer)


def load_phi(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    """Phi-3's way: added tokens of tokenizer.json last, and a token is special only by its flag."""
    pieces = open_pieces(files, _FILE)
    if pieces is None:
        return None
    tokens = piece_tokens(pieces, size)
    set_added_tokens(files, tokens)
    for token_id, text, special in (*added_by_decoder(files), *added_by_json(files)):
        if token_id in tokens:
            tokens.set(token_id, text, CONTROL if special else USER_DEFINED, ADDED_SCORE)
    return spm_kvs(files, tokens, newer=is_newer_json(files) and not hints.strict_parity)


def set_newer_tokens(files: TokenizerFiles, tokens: Tokens, hints: VocabHints) -> bool:
    """Set added tokens of tokenizer.json where transformers 5 saved it; returns whether it did."""
    newer = is_newer_json(files) and not hints.strict_parity
    for token_id, text, special in added_by_json(files) if newer else ():
        if token_id in tokens and tokens.types[token_id] != UNKNOWN:
            tokens.add(token_id, text, special=special)
    return newer


def fill_padding(files: TokenizerFiles, tokens: Tokens, hints: VocabHints) -> None:
    """Set added tokens that no piece stands for, which llama.cpp's converter leaves as padding."""
    for token_id, text, special in () if hints.strict_parity else added_by_json(files):
        if token_id in tokens and tokens.texts[token_id].startswith(b"[PAD"):
            tokens.add(token_id, text, special=special)


def spm_kvs(files: TokenizerFiles, tokens: Tokens, *, newer: bool = False) -> list[KV]:
    """The key-values of a "llama" vocabulary.

    `newer`: BOS is added where the post-processor of tokenizer.json adds it, and nowhere else.
    """
    special = read_special(files, size=tokens.size)
    if newer:
        special.adds.setdefault("bos", False)  # llama.cpp's default for this model is to add it
    return tokens.kvs("llama", "default", scores=True) + special.kvs()


def open_pieces(files: TokenizerFiles, name: str) -> Any:
    """The SentencePieceProcessor of a file, or None if there is no such file."""
    data = files.read(name)
    if data is None:
        return None
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor()
    try:
        pieces.LoadFromSerializedProto(data)
    except RuntimeError as error:
        raise bad_file(name, f"it is not a SentencePiece model: {error}") from None
    return pieces


def piece_tokens(pieces: Any, size: int | None) -> Tokens:
    """The pieces of a SentencePiece model, padded or cut to `size` tokens."""
    tokens = Tokens(size if size is not None else pieces.vocab_size())
    for token_id in range(min(pieces.vocab_size(), tokens.size)):
        kind = _kind(pieces, token_id)
        tokens.set(token_id, pieces.IdToPiece(token_id), kind, pieces.GetScore(token_id))
    return tokens


def _kind(pieces: Any, token_id: int) -> int:
    if pieces.IsUnknown(token_id):
        return UNKNOWN
    if pieces.IsControl(token_id):
        return CONTROL
    if pieces.IsUnused(token_id):
        return UNUSED
    return BYTE if pieces.IsByte(token_id) else NORMAL


def set_added_tokens(files: TokenizerFiles, tokens: Tokens) -> None:
    """Tokens of added_tokens.json, as user-defined ones."""
    added = files.json("added_tokens.json")
    for text, token_id in token_table(added, "added_tokens.json").items() if added else ():
        if token_id in tokens:
            tokens.set(token_id, text, USER_DEFINED, ADDED_SCORE)


def added_by_decoder(files: TokenizerFiles) -> list[tuple[int, str, bool]]:
    """Id, text and "special" of each of tokenizer_config.json's added_tokens_decoder."""
    where = "tokenizer_config.json"
    decoder = section(files.json(where), "added_tokens_decoder")
    return [
        _checked(where, int(key) if key.isdecimal() else key, entry)
        for key, entry in decoder.items()
    ]


def added_by_json(files: TokenizerFiles) -> list[tuple[int, str, bool]]:
    """Id, text and "special" of each of tokenizer.json's added_tokens."""
    where = "tokenizer.json"
    added = entries(files.json(where) or {}, "added_tokens")
    return [_checked(where, entry.get("id"), entry) for entry in added]


def _checked(where: str, token_id: Any, entry: Any) -> tuple[int, str, bool]:
    text = token_text(entry)
    if not is_id(token_id) or text is None or not isinstance(entry, dict):
        raise bad_file(where, f"{token_id!r}: {entry!r} is not an added token")
    return token_id, text, bool(entry.get("special"))
