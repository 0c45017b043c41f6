"""What kind of tokenizer a tokenizer.json is, and what its pipeline does to spaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quantize.vocab.files import entries, section

# llama.cpp's models of vocabularies -> the steps that they do, or that change nothing for them.
_KNOWN = {
    "llama": ("Sequence", "Prepend", "Replace", "Metaspace", "Split"),
    "gemma4": ("Sequence", "Replace", "Split"),
    "t5": ("Sequence", "Precompiled", "Replace", "Strip", "WhitespaceSplit", "Metaspace"),
}
# What they replace or split at.
_SPACES = (" ", " {2,}")


def is_sentencepiece_bpe(tokenizer: Mapping[str, Any]) -> bool:
    """Whether it was a SentencePiece BPE: merges of pieces, and bytes for what no piece has."""
    model, decoder = section(tokenizer, "model"), section(tokenizer, "decoder")
    falls_back = model.get("type") == "BPE" and bool(model.get("byte_fallback"))
    return falls_back and decoder.get("type") == "Sequence"


def prepends_space(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a space is put in front of a text."""
    return any(_prepends(part) for part in _parts(tokenizer))


def drops_extra_spaces(tokenizer: Mapping[str, Any]) -> bool:
    """Whether runs of spaces, and those around a text, become one space or none."""
    return any(_drops_spaces(part) for part in _parts(tokenizer))


def beyond_llama_cpp(tokenizer: Mapping[str, Any], model: str) -> list[str]:
    """Steps of the pipeline that llama.cpp's vocabulary `model` does not have, by their types.

    Empty for models whose pre-tokenizer has a name, which is looked for elsewhere.
    """
    known = _KNOWN.get(model)
    parts = [] if known is None else [*_parts(tokenizer)]
    kinds = [str(part["type"]) for part in parts if part.get("type") not in (None, *(known or ()))]
    return kinds + [
        f"{part['type']} at {text!r}"
        for part in parts
        for text in section(part, "pattern").values()
        if part.get("type") in ("Split", "Replace") and text not in _SPACES
    ]


def _prepends(part: Mapping[str, Any]) -> bool:
    if part.get("type") == "Metaspace":
        older = "always" if part.get("add_prefix_space", True) else "never"
        return bool(part.get("prepend_scheme", older) != "never")
    return part.get("type") == "Prepend"


def _drops_spaces(part: Mapping[str, Any]) -> bool:
    """True of a split at white space, and of "replace two spaces or more by one"."""
    if part.get("type") == "Replace":
        return section(part, "pattern").get("Regex") == " {2,}"
    return part.get("type") == "WhitespaceSplit"


def _parts(tokenizer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name, members in (("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers")):
        whole = section(tokenizer, name)
        yield from (whole, *entries(whole, members))
