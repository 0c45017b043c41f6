"""Tokenizer loaders that one family needs: what they do otherwise than the common ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quantize.vocab import VocabHints, build
from tests.support.vocab_files import Made, tokenizer

_END_OF_TURN = {"content": "<|im_end|>", "special": True}


def llama2(kit: Path, config: dict[str, Any]) -> Made:
    """The kit's tokenizer.model with another tokenizer_config.json."""
    pieces = kit / "tokenizers" / "spm-llama2" / "tokenizer.model"
    files = {"tokenizer_config.json": config, "config.json": {"eos_token_id": 2}}
    return Made({"tokenizer.model": pieces.read_bytes(), **files})


@pytest.mark.parametrize("loader", ["spm-internlm2", "spm-internlm3"])
def test_the_end_of_a_turn_is_the_end_of_internlms_texts(kit: Path, loader: str) -> None:
    config = {"added_tokens_decoder": {"40": _END_OF_TURN}}
    kvs = build(llama2(kit, config), 1000, VocabHints(loaders=(loader,)))
    found = {kv.key.removeprefix("tokenizer.ggml."): kv.value for kv in kvs}
    assert found["tokens"][40] == b"<|im_end|>"
    assert found["token_type"][40] == 3
    assert found["eos_token_id"] == 40


def test_added_tokens_are_special_by_their_flag_alone() -> None:
    added = [{"id": 5, "content": "<|plain|>", "special": False, "normalized": False}]
    files = {"tokenizer.json": {**tokenizer(), "added_tokens": added}}
    types = {}
    for loader in ("bpe", "bpe-by-flags"):
        kvs = build(Made(files), 8, VocabHints(loaders=(loader,), pre="gpt-2"))
        (types[loader],) = (kv.value[5] for kv in kvs if kv.key == "tokenizer.ggml.token_type")
    assert types == {"bpe": 3, "bpe-by-flags": 4}


def test_arctics_added_tokens_replace_pieces_and_keep_their_score(kit: Path) -> None:
    added = {"40": {"content": "<s2>", "special": True}, "41": {"content": "x", "special": False}}
    files = llama2(kit, {"unk_token": "<unk>", "added_tokens_decoder": added})
    kvs = build(files, 1000, VocabHints(loaders=("spm-arctic",)))
    found = {kv.key.removeprefix("tokenizer.ggml."): kv.value for kv in kvs}
    assert found["tokens"][40:42] == (b"<s2>", b"x")
    assert found["token_type"][40:42] == (3, 4)
    assert found["scores"][40:42] == (0.0, -10000.0)
