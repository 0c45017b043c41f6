"""Byte-level BPE of Dream and LLaDA: an added token is special by its flag, not by its looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from quantize.formats.kv import KV
from quantize.vocab.added import added_tokens
from quantize.vocab.bpe import load as load_bpe
from quantize.vocab.build import VocabHints
from quantize.vocab.files import TokenizerFiles
from quantize.vocab.legacy import bpe_json
from quantize.vocab.tokens import CONTROL, USER_DEFINED, encode, token_table


def load(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    kvs = load_bpe(files, size, hints)
    if kvs is None:
        return None
    vocab = (bpe_json(files) or {})["model"]["vocab"]
    added = added_tokens(files, token_table(vocab, "tokenizer.json"))
    texts = {token_id: encode(token.text) for token_id, token in added.items()}
    types = {
        token_id: CONTROL if token.special else USER_DEFINED for token_id, token in added.items()
    }
    changes: dict[str, Mapping[int, object]] = {
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": types,
    }
    return [
        replace(kv, value=tuple(changes[kv.key].get(i, old) for i, old in enumerate(kv.value)))
        if kv.key in changes
        else kv
        for kv in kvs
    ]
