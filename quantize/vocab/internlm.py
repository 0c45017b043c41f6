"""InternLM's SentencePiece tokenizers: a chat model's texts end with its turns."""

from __future__ import annotations

from quantize.formats.kv import KV, boolean
from quantize.vocab.build import VocabHints
from quantize.vocab.files import TokenizerFiles, section
from quantize.vocab.proto import read_spec
from quantize.vocab.special import read_special, token_text
from quantize.vocab.spm import added_by_decoder, added_by_json, open_pieces, piece_tokens
from quantize.vocab.spm import load as load_spm
from quantize.vocab.tokens import ADDED_SCORE, CONTROL, UNUSED, USER_DEFINED, encode

_FILE = "tokenizer.model"
_END_OF_TURN = "<|im_end|>"

# llama.cpp would read the token of a zero byte as an empty text.
_ZERO, _ZERO_STAND_IN = b"\x00", "\N{DRAGON}"


def load2(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    """InternLM 2: "[UNUSED..." pieces are unused, and added tokens special only by their flag."""
    pieces = open_pieces(files, _FILE)
    if pieces is None:
        return None
    tokens = piece_tokens(pieces, size)
    for token_id, piece in enumerate(tokens.texts):
        if piece == _ZERO:
            tokens.texts[token_id] = encode(_ZERO_STAND_IN)
        elif piece.startswith(b"[UNUSED"):
            tokens.types[token_id] = UNUSED
    special = read_special(files, size=tokens.size)
    for token_id, text, is_special in (*added_by_decoder(files), *added_by_json(files)):
        if token_id in tokens:
            tokens.set(token_id, text, CONTROL if is_special else USER_DEFINED, ADDED_SCORE)
            if text == _END_OF_TURN:
                special.ids["eos"] = token_id
    prefix = read_spec(files.read(_FILE) or b"", _FILE).add_dummy_prefix
    return [
        *tokens.kvs("llama", "default", scores=True),
        boolean("tokenizer.ggml.add_space_prefix", prefix),
        *special.kvs(),
    ]


def load3(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    """InternLM 3: as other SentencePiece models, but for the end of a text."""
    kvs = load_spm(files, size, hints)
    if kvs is None:
        return None
    config = files.json("tokenizer_config.json") or {}
    for key, entry in section(config, "added_tokens_decoder").items():
        if token_text(entry) == _END_OF_TURN and entry.get("special"):
            kvs = [
                KV(kv.key, kv.type, int(key)) if kv.key == "tokenizer.ggml.eos_token_id" else kv
                for kv in kvs
            ]
    prefix = config.get("add_prefix_space")
    if isinstance(prefix, bool):
        kvs.append(boolean("tokenizer.ggml.add_space_prefix", prefix))
    return kvs
