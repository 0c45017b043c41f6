"""What a person should know of a vocabulary that was built."""

from __future__ import annotations

from dataclasses import replace

from quantize.errors import CheckpointError, UnsupportedError
from quantize.formats.kv import KeyValues
from quantize.vocab.build import VocabHints, build
from quantize.vocab.files import TokenizerFiles, VocabFiles, is_newer_json
from quantize.vocab.pipeline import beyond_llama_cpp

# SentencePiece models, which hold the scores of their pieces.
_PIECE_FILES = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")

_MERGES_NOTE = (
    "there is no tokenizer.model: the scores of tokens are made from the merges of "
    "tokenizer.json (docs/deviations.md)"
)
_ADDED_NOTE = "added tokens are those of tokenizer.json (docs/deviations.md)"


def notes_on_tokenizer(
    files: VocabFiles, kvs: KeyValues, vocab_size: int | None, hints: VocabHints
) -> tuple[str, ...]:
    """Lines on a vocabulary that the converter would not write, or that llama.cpp cannot follow."""
    model = str(kvs.value("tokenizer.ggml.model"))
    beyond = beyond_llama_cpp(TokenizerFiles(files).json("tokenizer.json") or {}, model)
    lost = (
        f"llama.cpp has nothing like these steps of tokenizer.json: {', '.join(beyond)}; texts may "
        "be cut into other tokens"
    )
    own = _NOTES.get(model)
    told = own(files, kvs, vocab_size, hints) if own else None
    return (*((told,) if told else ()), *((lost,) if beyond else ()))


def _note_on_pieces(
    files: VocabFiles, kvs: KeyValues, vocab_size: int | None, hints: VocabHints
) -> str | None:
    if not any(name.startswith(_PIECE_FILES) for name in files.names()):
        return _MERGES_NOTE
    return _ADDED_NOTE if is_newer_json(TokenizerFiles(files)) else None


def _note_on_types(
    files: VocabFiles, kvs: KeyValues, vocab_size: int | None, hints: VocabHints
) -> str | None:
    try:
        theirs = build(files, vocab_size, replace(hints, strict_parity=True))
    except (CheckpointError, UnsupportedError):
        return None  # the converter writes nothing
    key = "tokenizer.ggml.token_type"
    return None if kvs.value(key) == theirs.value(key) else _ADDED_NOTE


# llama.cpp's models of vocabularies that may be others than the converter's.
_NOTES = {"llama": _note_on_pieces, "gemma4": _note_on_types, "t5": _note_on_types}
