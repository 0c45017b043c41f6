"""Byte-level BPE from tokenizer.json, or vocab.json and merges.txt: llama.cpp's model "gpt2"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.formats.kv import KV, u32
from quantize.vocab.added import added_tokens
from quantize.vocab.build import VocabHints
from quantize.vocab.decoding import decode
from quantize.vocab.files import TokenizerFiles, section
from quantize.vocab.legacy import bpe_json
from quantize.vocab.pipeline import is_sentencepiece_bpe
from quantize.vocab.pre import chosen_name, pre_name
from quantize.vocab.special import Special, read_special
from quantize.vocab.tokens import NORMAL, Tokens, by_id, duplicate_id, out_of_range, token_table

_FILE = "tokenizer.json"

# Encoders whose embedding knows a first and a second text; other configs may say so idly.
_WITH_TOKEN_TYPES = frozenset({"bert", "jina-bert-v2", "jina-bert-v3"})


def load(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    tokenizer = bpe_json(files) or {}
    model = section(tokenizer, "model")
    if model.get("type") != "BPE" or (is_sentencepiece_bpe(tokenizer) and not hints.pre):
        return None
    tokens = model_tokens(files, model.get("vocab"), size, section(tokenizer, "decoder"))
    special = read_special(files, merges=True)
    name_special(special, tokens, hints)
    pre = chosen_name(hints.pre) if hints.pre else pre_name(tokenizer, hints.arch_name)
    # The one structure without merges over byte letters that has a model name of its own.
    model_name = pre if pre == "whitespace" else "gpt2"
    kvs = tokens.kvs(model_name, pre, scores=False) + special.kvs()
    if hints.arch_name in _WITH_TOKEN_TYPES:
        kvs.append(u32("tokenizer.ggml.token_type_count", hints.token_types or 1))
    return kvs


def model_tokens(
    files: TokenizerFiles, vocab: object, size: int | None, decoder: Mapping[str, Any]
) -> Tokens:
    """The tokens of a table of texts and ids, and the checkpoint's added tokens.

    `size` None: as many as there are. `decoder`: how tokens read, as tokenizer.json says it.
    Raises CheckpointError for ids that are taken twice or are out of range.
    """
    texts = by_id(vocab, _FILE)
    added = added_tokens(files, token_table(vocab, _FILE))
    tokens = Tokens(size if size is not None else len(texts.keys() | added.keys()))
    for token_id, text in texts.items():
        if token_id not in tokens:
            raise out_of_range(_FILE, token_id, text, tokens.size)
        tokens.set(token_id, text, NORMAL)
    clean_up = bool((files.json("tokenizer_config.json") or {}).get("clean_up_tokenization_spaces"))
    for token_id, token in added.items():
        if token_id not in tokens:
            raise out_of_range(_FILE, token_id, token.text, tokens.size)
        if texts.get(token_id, token.text) != token.text:
            raise duplicate_id(_FILE, token_id, texts[token_id], token.text)
        text = token.text if token.normalized else decode(decoder, token.text, clean_up=clean_up)
        tokens.add(token_id, text, special=token.special)
    return tokens


def name_special(special: Special, tokens: Tokens, hints: VocabHints) -> None:
    """Give the kinds that the family fixes their ids, where the checkpoint names none."""
    for kind, token in hints.special.items():
        special.name(kind, tokens.find(token) if isinstance(token, str) else token)
