"""SentencePiece of Mistral's own format: tokenizer.model, or tokenizer.model.v3, and no JSON.

The number in the name is the version of mistral_common's tokenizer, which decides the template.
"""

from __future__ import annotations

import re

from quantize.formats.kv import KV, boolean, string, u32
from quantize.vocab.build import VocabHints
from quantize.vocab.files import TokenizerFiles
from quantize.vocab.special import ID_KEYS
from quantize.vocab.spm import open_pieces, piece_tokens

_JSON = ("tokenizer.json", "tokenizer_config.json")
_NAME = re.compile(r"tokenizer\.model(?:\.v(\d+)(?:m\d+)?)?")

# Templates that llama.cpp knows by name.
_TEMPLATES = {1: "mistral-v1", 3: "mistral-v3", 7: "mistral-v7"}


def load(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    """The newest version, where params.json describes the model and no JSON its tokenizer."""
    if files.read("params.json") is None or any(files.read(name) for name in _JSON):
        return None
    found = {int(match[1] or 1): match[0] for match in map(_NAME.fullmatch, files.names()) if match}
    if not found:
        return None
    version, name = max(found.items())
    pieces = open_pieces(files, name)
    tokens = piece_tokens(pieces, size)
    ids = {"bos": pieces.bos_id(), "eos": pieces.eos_id(), "unk": pieces.unk_id()}
    ids["pad"] = pieces.pad_id() if pieces.pad_id() >= 0 else ids["eos"]
    template = files.text("chat_template.jinja") or _TEMPLATES.get(version)
    return [
        *tokens.kvs("llama", None, scores=True),
        *(u32(ID_KEYS[kind], token_id) for kind, token_id in ids.items() if token_id in tokens),
        boolean("tokenizer.ggml.add_bos_token", value=True),
        boolean("tokenizer.ggml.add_eos_token", value=False),
        *([string("tokenizer.chat_template", template)] if template else []),
    ]
