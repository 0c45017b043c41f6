"""Snowflake Arctic's SentencePiece tokenizer, which gives ordinary pieces another meaning."""

from __future__ import annotations

from quantize.formats.kv import KV
from quantize.vocab.build import VocabHints
from quantize.vocab.files import TokenizerFiles
from quantize.vocab.special import token_text
from quantize.vocab.spm import added_by_decoder, open_pieces, piece_tokens, spm_kvs
from quantize.vocab.tokens import CONTROL, PAD_SCORE, UNKNOWN, USER_DEFINED


def load(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    """Added tokens replace pieces; the special ones keep the score 0 that such pieces have."""
    pieces = open_pieces(files, "tokenizer.model")
    if pieces is None:
        return None
    tokens = piece_tokens(pieces, size)
    unknown = token_text((files.json("tokenizer_config.json") or {}).get("unk_token"))
    for token_id, text, special in added_by_decoder(files):
        if token_id in tokens and special:
            tokens.set(token_id, text, UNKNOWN if text == unknown else CONTROL, 0.0)
        elif token_id in tokens:
            tokens.set(token_id, text, USER_DEFINED, PAD_SCORE)
    return spm_kvs(files, tokens)
