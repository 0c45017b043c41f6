"""Shapes that every architecture of llama.cpp shares, checked against the key-values.

A config.json that belongs to another checkpoint often maps without a complaint: the names are the
same. What gives it away are the sizes. Only tensors whose shape follows from hparams in all
architectures are looked at.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

from quantize.errors import CheckpointError
from quantize.formats.kv import KeyValues
from quantize.planning.model import Model, OutputTensor
from quantize.tensors import BLOCK

# GGUF name (without a block number) -> the hparam that its last dimension must equal.
_COLS = {
    "token_embd.weight": "embedding_length",
    "output.weight": "embedding_length",
    "output_norm.weight": "embedding_length",
    "attn_norm.weight": "embedding_length",
    "ffn_norm.weight": "embedding_length",
    "attn_q.weight": "embedding_length",
    "attn_k.weight": "embedding_length",
    "attn_v.weight": "embedding_length",
    "attn_qkv.weight": "embedding_length",
    "ffn_gate.weight": "embedding_length",
    "ffn_up.weight": "embedding_length",
}
# GGUF name -> the hparams whose product its first dimension must equal: heads, size of a head.
_ROWS = {
    "attn_k.weight": ("attention.head_count_kv", "attention.key_length"),
    "attn_v.weight": ("attention.head_count_kv", "attention.value_length"),
}


# What tokens are called that no tokenizer file names.
_PADDING = re.compile(r"\[PAD\d+\]")


def check_shapes(model: Model) -> None:
    """Raise CheckpointError("shape-mismatch") where a tensor contradicts the key-values."""
    values = model.kvs.hparams
    for output in model.outputs:
        hparam = _COLS.get(BLOCK.sub("", output.name), "")
        expected = values.get(hparam)
        if isinstance(expected, int) and output.shape[-1] != expected:
            raise _mismatch(output.name, output.shape[-1], hparam, expected)
        varies = "attention.key_length_swa" in values  # windowed blocks have heads of another size
        heads, size = _heads(values, *_ROWS.get(BLOCK.sub("", output.name), ("", "")))
        if isinstance(heads, int) and isinstance(size, int) and not varies:
            _check_heads(output, heads * size)
        if output.name == "token_embd.weight":
            _check_vocabulary(output.shape[0], model.kvs)


def _heads(values: Mapping[str, Any], count: str, size: str) -> tuple[Any, Any]:
    """Number and size of heads; llama.cpp divides the embedding among them where none is said."""
    whole, all_heads = values.get("embedding_length"), values.get("attention.head_count")
    default = None
    if size and isinstance(whole, int) and isinstance(all_heads, int) and all_heads:
        default = whole // all_heads
    return values.get(count), values.get(size, default)


def _check_heads(output: OutputTensor, expected: int) -> None:
    if output.shape[0] != expected:
        raise _mismatch(output.name, output.shape[0], "the number and size of heads", expected)


def _check_vocabulary(rows: int, kvs: KeyValues) -> None:
    tokens = kvs.value("tokenizer.ggml.tokens")
    if tokens is None or len(tokens) == rows:
        return
    padding = itertools.takewhile(_PADDING.fullmatch, map(_text, reversed(tokens)))
    named = len(tokens) - sum(1 for _ in padding)
    hint = (
        f"take the tokenizer files of this very checkpoint: they name {named} tokens"
        if named > rows
        else f"the tokenizer names {named} tokens: correct vocab_size in config.json to {rows}"
    )
    raise CheckpointError(
        "vocabulary-mismatch",
        f"{rows} embedding rows for {len(tokens)} tokens",
        where="token_embd.weight",
        reason="llama.cpp needs one row for each token of the vocabulary",
        hint=hint,
    )


def _text(token: str | bytes) -> str:
    return token.decode("utf-8", "replace") if isinstance(token, bytes) else token


def _mismatch(name: str, got: int, hparam: str, expected: int) -> CheckpointError:
    return CheckpointError(
        "shape-mismatch",
        f"{got} where {hparam} gives {expected}",
        where=name,
        reason="config.json and the weights do not belong together",
        hint="download config.json and the weights from the same revision",
    )
