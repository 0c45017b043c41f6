r"""Regular expressions of pre-tokenizers in a normal form, so that equal spellings are equal text.

Tokenizer files write one rule in many ways: `(?i:'s|'t)` or `'(?:[sS]|[tT])`, `\p{N}{1}` or
`\p{N}`, possessive or greedy where it makes no difference. The normal form expands finite
alternatives into sorted words, writes sets in one order, and drops what changes nothing. Text that
this subset of Oniguruma's syntax does not cover stays as it is, and equals only itself.
"""

from __future__ import annotations

from functools import lru_cache

from quantize.vocab.regex.nodes import UnsupportedSyntaxError
from quantize.vocab.regex.parse import parse
from quantize.vocab.regex.simplify import simplify
from quantize.vocab.regex.write import write

__all__ = ["normal_form"]


@lru_cache(maxsize=1024)
def normal_form(pattern: str) -> str:
    """The normal form of a pattern, or the pattern itself where its syntax is not covered."""
    try:
        return write(simplify(parse(pattern)))
    except (UnsupportedSyntaxError, IndexError, RecursionError):
        return pattern
