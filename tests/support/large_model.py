"""A Llama of any size: sparse files that hold a true header, and zeros in place of weights."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

HIDDEN, INNER, HEADS = 2048, 8192, 16
_SMALL = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def write_large_model(folder: Path, like: Path, layers: int, shards: int = 2) -> Path:
    """`layers` times 134 MB in BF16, with the tokenizer of the kit model `like`."""
    folder.mkdir()
    config = json.loads((like / "config.json").read_text())
    config |= {
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "num_hidden_layers": layers,
        "head_dim": HIDDEN // HEADS,
        "torch_dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps(config))
    for name in _SMALL:
        if (like / name).is_file():
            shutil.copy(like / name, folder / name)
    names = list(_shapes(layers, config["vocab_size"]).items())
    per_shard = -(-len(names) // shards)
    weight_map: dict[str, str] = {}
    for number in range(shards):
        file = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        part = dict(names[number * per_shard : (number + 1) * per_shard])
        _write_shard(folder / file, part)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def _shapes(layers: int, vocab: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocab, HIDDEN),
        "model.norm.weight": (HIDDEN,),
        "lm_head.weight": (vocab, HIDDEN),
    }
    for layer in range(layers):
        block = f"model.layers.{layer}."
        shapes |= {
            f"{block}input_layernorm.weight": (HIDDEN,),
            f"{block}post_attention_layernorm.weight": (HIDDEN,),
            f"{block}mlp.gate_proj.weight": (INNER, HIDDEN),
            f"{block}mlp.up_proj.weight": (INNER, HIDDEN),
            f"{block}mlp.down_proj.weight": (HIDDEN, INNER),
        }
        for part in "qkvo":
            shapes[f"{block}self_attn.{part}_proj.weight"] = (HIDDEN, HIDDEN)
    return shapes


def _write_shard(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2
        for n in shape:
            size *= n
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
