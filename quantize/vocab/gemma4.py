"""Gemma 4: a SentencePiece-like BPE that keeps its merges, llama.cpp's model "gemma4"."""

from __future__ import annotations

from quantize.formats.kv import KV
from quantize.vocab.build import VocabHints
from quantize.vocab.files import TokenizerFiles
from quantize.vocab.special import read_special
from quantize.vocab.spm_json import json_tokens, set_types
from quantize.vocab.tokens import USER_DEFINED

# llama.cpp's chat parser has to see these in the output, so they must not be control tokens.
_VISIBLE = frozenset({
    b"<|channel>", b"<channel|>", b"<|tool_call>", b"<tool_call|>", b"<|tool_response>",
    b"<tool_response|>", b'<|"|>',
})  # fmt: skip


def load(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    tokens = json_tokens(files, size)
    if tokens is None:
        return None
    if not hints.strict_parity:
        set_types(files, tokens)
    for token_id, text in enumerate(tokens.texts):
        if text in _VISIBLE:
            tokens.types[token_id] = USER_DEFINED
    return tokens.kvs("gemma4", None, scores=True) + read_special(files, merges=True).kvs()
