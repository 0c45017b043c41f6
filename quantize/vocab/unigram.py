"""SentencePiece Unigram: llama.cpp's model "t5", of XLM-R encoders and of T5."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from quantize.formats.kv import KV, array, boolean, u32
from quantize.vocab.added import added_tokens, special_texts
from quantize.vocab.build import VocabHints
from quantize.vocab.files import TokenizerFiles, bad_file, entries, section
from quantize.vocab.proto import BPE, UNIGRAM, Spec, read_spec
from quantize.vocab.special import read_special
from quantize.vocab.spm import load as load_spm
from quantize.vocab.spm import open_pieces, piece_tokens, set_added_tokens
from quantize.vocab.tokens import CONTROL, NORMAL, UNKNOWN, USER_DEFINED, Tokens

_JSON = "tokenizer.json"
_XLMR = "sentencepiece.bpe.model"

# transformers puts four tokens of fairseq in front of the pieces, of which the file has three.
_FAIRSEQ = (
    ("<s>", CONTROL), ("<pad>", CONTROL), ("</s>", CONTROL), ("<unk>", UNKNOWN),
)  # fmt: skip


def load(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    """XLM-R: sentencepiece.bpe.model with ids shifted by one, else tokenizer.json."""
    pieces = open_pieces(files, _XLMR)
    if pieces is None:
        return _load_json(files, size, hints)
    spec = read_spec(files.read(_XLMR) or b"", _XLMR)
    if spec.model_type != UNIGRAM:
        raise bad_file(_XLMR, "it is not a Unigram model")
    unshifted = piece_tokens(pieces, max(size or 0, pieces.vocab_size()))
    tokens = Tokens(unshifted.size)
    for token_id in range(tokens.size):
        if token_id < len(_FAIRSEQ):
            tokens.set(token_id, *_FAIRSEQ[token_id])
        else:
            tokens.copy(token_id, unshifted, token_id - 1)
    if hints.arch_name == "nomic-bert-moe":
        for token_id, token in added_tokens(files, {}).items():
            if token.text == "<mask>" and token_id in tokens:
                tokens.set(token_id, token.text, CONTROL)
    return _kvs(files, tokens, spec, hints.token_types or 1)


def load_t5(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    """T5: tokenizer.model, in older checkpoints spiece.model."""
    name = "tokenizer.model" if files.read("tokenizer.model") is not None else "spiece.model"
    pieces = open_pieces(files, name)
    if pieces is None:
        return None
    spec = read_spec(files.read(name) or b"", name)
    if spec.model_type == BPE:
        return load_spm(files, size, hints)
    tokens = piece_tokens(pieces, size)
    set_added_tokens(files, tokens)
    return _kvs(files, tokens, spec, None)


def _kvs(files: TokenizerFiles, tokens: Tokens, spec: Spec, token_types: int | None) -> list[KV]:
    kvs = tokens.kvs("t5", "default", scores=True)
    kvs.append(boolean("tokenizer.ggml.add_space_prefix", spec.add_dummy_prefix))
    if token_types is not None:
        kvs.append(u32("tokenizer.ggml.token_type_count", token_types))
    whitespace = spec.remove_extra_whitespaces
    kvs.append(boolean("tokenizer.ggml.remove_extra_whitespaces", whitespace))
    if spec.charsmap:
        kvs.append(array("tokenizer.ggml.precompiled_charsmap", "UINT8", spec.charsmap))
    return kvs + read_special(files, size=tokens.size).kvs()


def _load_json(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    tokenizer = files.json(_JSON) or {}
    model = section(tokenizer, "model")
    if model.get("type") != "Unigram":
        return None
    pieces = model.get("vocab")
    if not isinstance(pieces, list):
        raise bad_file(_JSON, "its model has no list of pieces")
    scored = [_piece(entry) for entry in pieces]
    texts = {text: token_id for token_id, (text, _) in enumerate(scored)}
    added, specials = added_tokens(files, texts), special_texts(files)
    config = files.json("tokenizer_config.json") or {}
    tokens = Tokens(max(size or 0, len(scored)))
    unknown = texts.get(str(config.get("unk_token")), model.get("unk_id", 3))
    for token_id, (text, score) in enumerate(scored):
        kind = USER_DEFINED if token_id in added else NORMAL
        kind = CONTROL if text in specials else kind
        tokens.set(token_id, text, UNKNOWN if token_id == unknown else kind, score)
    spec = Spec(
        model_type=UNIGRAM,
        charsmap=_charsmap(section(tokenizer, "normalizer")),
        add_dummy_prefix=bool(config.get("add_prefix_space")),
        remove_extra_whitespaces=bool(config.get("clean_up_tokenization_spaces")),
    )
    return _kvs(files, tokens, spec, hints.token_types or 1)


def _piece(entry: Any) -> tuple[str, float]:
    match entry:
        case [str(text), float() | int() as score]:
            return text, float(score)
    raise bad_file(_JSON, f"{entry!r} is not a piece with its score")


def _charsmap(normalizer: Mapping[str, Any]) -> bytes:
    for part in [normalizer, *entries(normalizer, "normalizers")]:
        if part.get("type") == "Precompiled":
            try:
                return b64decode(part.get("precompiled_charsmap") or "", validate=True)
            except (ValueError, TypeError) as error:
                raise bad_file(_JSON, f"precompiled_charsmap: {error}") from None
    return b""
