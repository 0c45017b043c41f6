"""WordPiece from tokenizer.json or vocab.txt: llama.cpp's model "bert".

llama.cpp wants words marked instead of continuations: "##ing" becomes "ing", "the" gets the mark
for a space in front.
"""

from __future__ import annotations

from collections.abc import Mapping

from quantize.formats.kv import KV, u32
from quantize.vocab.bpe import model_tokens
from quantize.vocab.build import VocabHints
from quantize.vocab.files import TokenizerFiles, section
from quantize.vocab.special import read_special
from quantize.vocab.tokens import CONTROL, SPACE_MARK

_MARK = SPACE_MARK.encode()

# llama.cpp does not look at the name of a WordPiece vocabulary; this one is BERT's.
_PRE = "bert-bge"


def load(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    tokenizer = files.json("tokenizer.json")
    model = section(tokenizer, "model")
    vocab: Mapping[str, object] | None = None
    if model.get("type") == "WordPiece":
        vocab = section(model, "vocab")
    elif not model:
        vocab = _text_vocab(files)
    if vocab is None:
        return None
    tokens = model_tokens(files, vocab, size, section(tokenizer, "decoder"))
    for token_id, (text, kind) in enumerate(zip(tokens.texts, tokens.types, strict=True)):
        if kind != CONTROL:
            tokens.texts[token_id] = text[2:] if text.startswith(b"##") else _MARK + text
    kvs = [u32("tokenizer.ggml.token_type_count", hints.token_types or 1)]
    kvs += tokens.kvs("bert", hints.pre or _PRE, scores=False)
    return kvs + read_special(files, size=tokens.size).kvs()


def _text_vocab(files: TokenizerFiles) -> dict[str, object] | None:
    text = files.text("vocab.txt")
    if text is None:
        return None
    return {line.rstrip("\r"): number for number, line in enumerate(text.rstrip("\n").split("\n"))}
