"""Tokenizers: key-values, and token ids against the tokenizers library."""
