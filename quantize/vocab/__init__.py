"""Tokenizer files to `tokenizer.*` key-values."""

from __future__ import annotations

from quantize.vocab.build import LOADERS, VocabHints, build
from quantize.vocab.ends import end_tokens
from quantize.vocab.files import VocabFiles

__all__ = ["LOADERS", "VocabFiles", "VocabHints", "build", "end_tokens"]
