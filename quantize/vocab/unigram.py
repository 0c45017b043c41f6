"""SentencePiece Unigram: llama.cpp's model "t5", of XLM-R encoders and of T5."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from quantize.formats.kv import KV, array, boolean, u32
from quantize.vocab.added import added_tokens, special_texts
from quantize.vocab.build import VocabHints
from quantize.vocab.files import TokenizerFiles, bad_file, entries, section
from quantize.vocab.pipeline import drops_extra_spaces, prepends_space
from quantize.vocab.proto import BPE, UNIGRAM, Spec, read_spec
from quantize.vocab.special import read_special
from quantize.vocab.spm import (
    fill_padding,
    open_pieces,
    piece_tokens,
    set_added_tokens,
    set_newer_tokens,
)
from quantize.vocab.spm import load as load_spm
from quantize.vocab.spm_json import load as load_spm_json
from quantize.vocab.tokens import (
    CONTROL,
    NORMAL,
    SPACE_MARK,
    UNKNOWN,
    USER_DEFINED,
    Tokens,
    is_id,
    out_of_range,
)

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
        return _load_json(files, size, hints, hints.token_types or 1)
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
    set_newer_tokens(files, tokens, hints)
    fill_padding(files, tokens, hints)
    return _kvs(files, tokens, spec, hints.token_types or 1)


def load_t5(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    """T5: tokenizer.model, in older checkpoints spiece.model; else tokenizer.json."""
    name = "tokenizer.model" if files.read("tokenizer.model") is not None else "spiece.model"
    pieces = open_pieces(files, name)
    if pieces is None:
        return _load_json(files, size, hints, None) or load_spm_json(files, size, hints)
    spec = read_spec(files.read(name) or b"", name)
    if spec.model_type == BPE:
        return load_spm(files, size, hints)
    tokens = piece_tokens(pieces, size)
    set_added_tokens(files, tokens)
    set_newer_tokens(files, tokens, hints)
    fill_padding(files, tokens, hints)
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


def _load_json(
    files: TokenizerFiles, size: int | None, hints: VocabHints, token_types: int | None
) -> list[KV] | None:
    tokenizer = files.json(_JSON) or {}
    model = section(tokenizer, "model")
    if model.get("type") != "Unigram":
        return None
    pieces = model.get("vocab")
    if not isinstance(pieces, list):
        raise bad_file(_JSON, "its model has no list of pieces")
    scored = [_piece(entry) for entry in pieces]
    tokens = Tokens(max(size or 0, len(scored)))
    for token_id, (text, score) in enumerate(scored):
        tokens.set(token_id, text, NORMAL, score)
    texts = {text: token_id for token_id, (text, _) in enumerate(scored)}
    config = files.json("tokenizer_config.json") or {}
    unknown = texts.get(str(config.get("unk_token")), model.get("unk_id", 3))
    if is_id(unknown) and unknown in tokens:
        tokens.types[unknown] = UNKNOWN
    read = _as_llama_cpp_reads if hints.strict_parity else _as_the_pipeline_says
    spec = read(files, tokens, texts)
    return _kvs(files, tokens, spec, token_types)


def _as_the_pipeline_says(files: TokenizerFiles, tokens: Tokens, texts: Mapping[str, int]) -> Spec:
    """Types by the added tokens' flags; spaces as normalizer and pre-tokenizer treat them."""
    specials = special_texts(files)
    for token_id, token in added_tokens(files, texts).items():
        if token_id not in tokens:
            raise out_of_range(_JSON, token_id, token.text, tokens.size)
        if tokens.types[token_id] != UNKNOWN:
            special = token.special or token.text in specials
            text = token.text if special else token.text.replace(SPACE_MARK, " ")
            kind = CONTROL if special else USER_DEFINED
            tokens.set(token_id, text, kind, tokens.scores[token_id])
    tokenizer = files.json(_JSON) or {}
    read = _spec_of_options(files)
    if drops_extra_spaces(tokenizer):
        # llama.cpp puts one in front of each word then, whatever the prefix option says.
        return replace(read, remove_extra_whitespaces=True)
    prefix = prepends_space(tokenizer)
    return replace(read, add_dummy_prefix=prefix, remove_extra_whitespaces=False)


def _as_llama_cpp_reads(files: TokenizerFiles, tokens: Tokens, texts: Mapping[str, int]) -> Spec:
    """Special by name alone; spaces by options of tokenizer_config.json that say other things."""
    specials = special_texts(files)
    added = added_tokens(files, texts)
    for text, token_id in texts.items():
        if token_id in added and tokens.types[token_id] != UNKNOWN:
            tokens.types[token_id] = CONTROL if text in specials else USER_DEFINED
    return _spec_of_options(files)


def _spec_of_options(files: TokenizerFiles) -> Spec:
    config = files.json("tokenizer_config.json") or {}
    return Spec(
        model_type=UNIGRAM,
        charsmap=_charsmap(section(files.json(_JSON), "normalizer")),
        add_dummy_prefix=bool(config.get("add_prefix_space")),
        remove_extra_whitespaces=bool(config.get("clean_up_tokenization_spaces")),
    )


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
