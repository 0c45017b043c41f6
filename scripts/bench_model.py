"""Checkpoints of any size to measure with: the shape is real, the weights are normal noise.

The weights of every tensor are cut from one block of noise at places of their own, so writing is as
fast as the disk. The tokenizer has Llama 3's layout and as many tokens and nearly as many merges.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

_NOISE = 1 << 24  # elements
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPECIAL = {
    "<|begin_of_text|>": 0, "<|end_of_text|>": 1, "<|eom_id|>": 8, "<|eot_id|>": 9
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """The numbers that decide the size of a Llama."""

    layers: int
    hidden: int = 2048
    intermediate: int = 8192
    heads: int = 32
    kv_heads: int = 8
    vocabulary: int = 128256
    tied: bool = True

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        head = self.hidden // self.heads
        found: dict[str, tuple[int, ...]] = {
            "model.embed_tokens.weight": (self.vocabulary, self.hidden)
        }
        for layer in range(self.layers):
            block = {
                "input_layernorm": (self.hidden,),
                "mlp.down_proj": (self.hidden, self.intermediate),
                "mlp.gate_proj": (self.intermediate, self.hidden),
                "mlp.up_proj": (self.intermediate, self.hidden),
                "post_attention_layernorm": (self.hidden,),
                "self_attn.k_proj": (self.kv_heads * head, self.hidden),
                "self_attn.o_proj": (self.hidden, self.hidden),
                "self_attn.q_proj": (self.hidden, self.hidden),
                "self_attn.v_proj": (self.kv_heads * head, self.hidden),
            }
            found |= {f"model.layers.{layer}.{name}.weight": s for name, s in block.items()}
        found["model.norm.weight"] = (self.hidden,)
        if not self.tied:
            found["lm_head.weight"] = (self.vocabulary, self.hidden)
        return found

    @property
    def weights(self) -> int:
        return sum(map(math.prod, self.tensors.values()))


LLAMA_1B = LlamaShape(layers=16)
LLAMA_70B = LlamaShape(
    layers=80, hidden=8192, intermediate=28672, heads=64, vocabulary=128256, tied=False
)


def write_llama(folder: Path, shape: LlamaShape, *, sparse: bool = False, shards: int = 1) -> None:
    """A checkpoint in BF16. A sparse one is all zeros and takes no room: good for headers."""
    folder.mkdir(parents=True)
    _write_json(folder / "config.json", _config(shape))
    _write_json(folder / "tokenizer.json", _tokenizer(shape.vocabulary))
    _write_json(folder / "tokenizer_config.json", {"bos_token": "<|begin_of_text|>"})
    names = list(shape.tensors)
    height = math.ceil(len(names) / shards)
    weight_map: dict[str, str] = {}
    noise = None if sparse else _noise()
    for number, lo in enumerate(range(0, len(names), height)):
        part = names[lo : lo + height]
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        weight_map |= dict.fromkeys(part, file)
        _write_shard(folder / file, {name: shape.tensors[name] for name in part}, noise)
    _write_json(folder / "model.safetensors.index.json", {"weight_map": weight_map})


def _write_shard(path: Path, tensors: Mapping[str, tuple[int, ...]], noise: bytes | None) -> None:
    header: dict[str, object] = {}
    offset = 0
    for name, shape in tensors.items():
        end = offset + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        if noise is None:
            file.truncate(8 + len(text) + offset)
            return
        for number, shape in enumerate(tensors.values()):
            _write_noise(file, noise, 2 * math.prod(shape), start=2 * 7919 * number)


def _write_noise(file: BinaryIO, noise: bytes, nbytes: int, start: int) -> None:
    view = memoryview(noise)
    start %= len(noise)
    while nbytes:
        piece = view[start : start + nbytes]
        file.write(piece)
        nbytes -= len(piece)
        start = 0


def _noise() -> bytes:
    values = np.random.default_rng(0).standard_normal(_NOISE, np.float32) * np.float32(0.02)
    return (values.view(np.uint32) >> 16).astype("<u2").tobytes()


def _config(shape: LlamaShape) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "bos_token_id": shape.vocabulary - 256,
        "eos_token_id": shape.vocabulary - 255,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": 131072,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3",
        },
        "rope_theta": 500000.0,
        "tie_word_embeddings": shape.tied,
        "torch_dtype": "bfloat16",
        "vocab_size": shape.vocabulary,
    }  # fmt: skip


def _tokenizer(vocabulary: int) -> dict[str, object]:
    words = vocabulary - 256
    tokens = list(itertools.islice(itertools.chain(_byte_characters(), _words()), words))
    special = {number: name for name, number in _SPECIAL.items()}
    added = [
        {
            "id": words + number, "content": special.get(number, f"<|reserved_{number}|>"),
            "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": True,
        }
        for number in range(256)
    ]  # fmt: skip
    split = {
        "type": "Split", "pattern": {"Regex": _SPLIT}, "behavior": "Isolated", "invert": False
    }  # fmt: skip
    byte_level = {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False
    }  # fmt: skip
    return {
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "ignore_merges": True,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [f"{token[:-1]} {token[-1]}" for token in tokens if len(token) > 1],
        },
    }


def _byte_characters() -> Iterator[str]:
    """How byte-level BPE writes the 256 bytes: printable ones as themselves, others from 256 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    yield from map(chr, sorted(printable))
    yield from (chr(256 + number) for number in range(256 - len(printable)))


def _words() -> Iterator[str]:
    """Every word of small letters, the short ones first: each is another one and a letter."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    for length in itertools.count(2):
        yield from map("".join, itertools.product(letters, repeat=length))


def _write_json(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
