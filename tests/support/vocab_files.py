"""Tokenizer files for tests: a folder, a kit tokenizer beside a kit config, or made-up ones."""

from __future__ import annotations

import hashlib
import json
import struct
from base64 import b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from quantize.architectures import ARCHITECTURES
from quantize.architectures.family import VocabOptions
from quantize.formats.kv import KV, SCALAR_IDS, KeyValues
from quantize.vocab import VocabFiles, VocabHints, build

BPE_HINTS = VocabHints(loaders=("bpe",))
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}

_FORMATS = {
    "UINT8": "B", "INT8": "b", "UINT16": "H", "INT16": "h", "UINT32": "I", "INT32": "i",
    "FLOAT32": "f", "BOOL": "?", "UINT64": "Q", "INT64": "q", "FLOAT64": "d",
}  # fmt: skip


class Folders:
    """The files of several folders as if they were one; the first that has a name wins."""

    def __init__(self, *folders: Path) -> None:
        self.folders = [folder for folder in folders if folder.is_dir()]

    def read(self, name: str) -> bytes | None:
        paths = [folder / name for folder in self.folders if (folder / name).is_file()]
        return paths[0].read_bytes() if paths else None

    def names(self) -> Iterable[str]:
        return [str(path.relative_to(f)) for f in self.folders for path in f.rglob("*.*")]


class Made:
    """Files by name: bytes, text, or an object that becomes JSON."""

    def __init__(self, files: Mapping[str, Any]) -> None:
        self.files = files

    def read(self, name: str) -> bytes | None:
        content = self.files.get(name)
        if content is None or isinstance(content, bytes):
            return content
        return (content if isinstance(content, str) else json.dumps(content)).encode()

    def names(self) -> Iterable[str]:
        return list(self.files)


def kit_files(kit: Path, model: str) -> Folders:
    """The small files of a kit model, without writing out its weights."""
    folder = kit / "models" / model
    tokenizer = json.loads((folder / "skeleton.json").read_text())["tokenizer"]
    return Folders(folder / "extra", kit / "tokenizers" / tokenizer, folder)


def built(files: VocabFiles, *, strict_parity: bool = False) -> KeyValues:
    """The `tokenizer.*` key-values that the family of config.json gives these files."""
    config = json.loads(files.read("config.json") or b"")
    family = ARCHITECTURES[config["architectures"][0]]
    options = VocabOptions(arch_name=family.arch)
    options.update(family.vocab_options)
    hints = VocabHints(
        loaders=family.vocab,
        token_types=config.get("type_vocab_size"),
        strict_parity=strict_parity,
        **options,
    )
    text = config.get("text_config", {})
    return build(files, config.get("vocab_size") or text.get("vocab_size"), hints)


def difference(expected: Mapping[str, Any], kv: KV) -> str | None:
    """What check.py would say of a key-value, or None if it has the expected bits."""
    if kv.type != expected["type"]:
        return f"{kv.key}: type {kv.type}, expected {expected['type']}"
    value = expected.get("value")
    digest = expected.get("sha256") or (value["sha256"] if isinstance(value, dict) else None)
    if digest is not None:
        same = hashlib.sha256(_stored(kv)).hexdigest() == digest
    else:
        same = kv.value == value
    return None if same else f"{kv.key}: {str(kv.value)[:80]}, expected {str(expected)[:200]}"


def _stored(kv: KV) -> bytes:
    """The value as it stands in a GGUF v3 file, for an array from its element type on."""
    if not kv.type.startswith("ARRAY"):
        return _scalar(kv.type, kv.value)
    element = kv.type.removeprefix("ARRAY[").removesuffix("]")
    head = struct.pack("<IQ", SCALAR_IDS[element], len(kv.value))
    return head + b"".join(_scalar(element, one) for one in kv.value)


def _scalar(type: str, value: Any) -> bytes:
    if type != "STRING":
        return struct.pack("<" + _FORMATS[type], value)
    text = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(text)) + text


def tokenizer(**changes: Any) -> dict[str, Any]:
    """A tokenizer.json of byte-level BPE with five tokens and two added ones."""
    return {
        "normalizer": None,
        "pre_tokenizer": BYTE_LEVEL,
        "decoder": {"type": "ByteLevel"},
        "post_processor": None,
        "model": {
            "type": "BPE",
            "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "\u0120": 4},
            "merges": ["a b"],
        },
        "added_tokens": [
            {"id": 5, "content": "<end>", "normalized": False, "special": True},
            {"id": 6, "content": "two words", "normalized": True, "special": False},
        ],
    } | changes


def tekken(**changes: Any) -> dict[str, Any]:
    """Four special tokens, the bytes, and two tokens made of them."""
    pieces = [bytes([byte]) for byte in range(256)] + [b" a", b" ab"]
    vocab = [{"token_bytes": b64encode(piece).decode()} for piece in pieces]
    config = {"default_vocab_size": 262, "default_num_special_tokens": 4, "version": "v7"}
    special = [{"token_str": text} for text in ("<unk>", "<s>", "</s>")]
    return {"config": config, "vocab": vocab, "special_tokens": special} | changes
