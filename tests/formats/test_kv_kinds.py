"""A known key-value of another type is refused by its name, before anything is made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantize import api
from quantize.errors import CheckpointError, VerificationError
from quantize.formats.kv import KV
from quantize.formats.kv_kinds import check_kinds
from tests.support.gguf_files import KVS, write_gguf

WRONG = [
    KV("tokenizer.ggml.tokens", "FLOAT32", 0.5),
    KV("tokenizer.ggml.tokens", "ARRAY[INT32]", (1, 2)),
    KV("tokenizer.ggml.scores", "INT64", 7),
    KV("tokenizer.ggml.token_type", "ARRAY[STRING]", (b"x",)),
    KV("llama.block_count", "ARRAY[STRING]", (b"a",)),
    KV("llama.attention.head_count", "FLOAT64", 2.0),
    KV("llama.attention.layer_norm_rms_epsilon", "STRING", b"small"),
    KV("tokenizer.ggml.add_bos_token", "UINT32", 1),
]
RIGHT = [
    KV("llama.block_count", "UINT64", 2),
    KV("llama.attention.head_count", "ARRAY[INT32]", (2, 2)),
    KV("llama.feed_forward_length", "UINT16", 4),
    KV("somebody.own.key", "FLOAT64", 0.5),
]


@pytest.mark.parametrize("kv", WRONG, ids=lambda kv: f"{kv.key}-{kv.type}")
def test_another_type_is_refused(kv: KV, tmp_path: Path) -> None:
    kvs = [*(one for one in KVS if one.key != kv.key), kv]
    rows = {"token_embd.weight": np.ones((2, 32), np.float32)}
    file = write_gguf(tmp_path / "x.gguf", rows, kvs)
    with pytest.raises(CheckpointError, match=kv.key):
        api.plan(str(file), api.Options(types=("Q8_0",)))
    with pytest.raises(VerificationError, match=kv.key):
        api.verify(file)


def test_any_width_and_any_key_of_others_is_taken() -> None:
    check_kinds(RIGHT, "x.gguf")


def test_four_billion_blocks_take_no_memory(tmp_path: Path) -> None:
    kvs = [*(one for one in KVS if one.key != "llama.block_count"),
           KV("llama.block_count", "UINT32", 2**32 - 1)]  # fmt: skip
    rows = {"token_embd.weight": np.ones((2, 32), np.float32)}
    file = write_gguf(tmp_path / "x.gguf", rows, kvs)
    with pytest.raises(VerificationError, match="block 0 of 4294967295 has no tensors"):
        api.verify(file)
