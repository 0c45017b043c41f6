"""What the normalizer and the pre-tokenizer of tokenizer.json do to spaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quantize.vocab.files import entries, section


def prepends_space(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a space is put in front of a text."""
    return any(_prepends(part) for part in _parts(tokenizer))


def drops_extra_spaces(tokenizer: Mapping[str, Any]) -> bool:
    """Whether runs of spaces, and those around a text, become one space or none."""
    return any(_drops_spaces(part) for part in _parts(tokenizer))


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
