"""A GGUF file as Ollama sees it: its header, and what Ollama reads in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantize.errors import unreadable
from quantize.formats.gguf_read import read_header
from quantize.formats.kv import KV, KeyValues
from quantize.ollama.modelfile.prompt import source_of
from quantize.ollama.templates.translate import ChatTemplate
from quantize.tensors import StoredTensor

_NUMBERS = frozenset({"UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "UINT64", "INT64"})
_TEXT, _TEXTS = frozenset({"STRING"}), frozenset({"ARRAY[STRING]"})
_IDS = ("bos", "eos", "eot", "eom", "unknown", "seperator", "padding", "mask")
# Key -> the types with which something can be done.
_TYPES: Mapping[str, frozenset[str]] = {
    "tokenizer.ggml.tokens": _TEXTS,
    "tokenizer.ggml.merges": _TEXTS,
    "tokenizer.ggml.token_type": frozenset({f"ARRAY[{type}]" for type in _NUMBERS}),
    "tokenizer.chat_template": _TEXT,
    "tokenizer.ggml.model": _TEXT,
    "tokenizer.ggml.pre": _TEXT,
    "general.architecture": _TEXT,
    "split.count": _NUMBERS,
    "split.no": _NUMBERS,
    **{f"tokenizer.ggml.{kind}_token_id": _NUMBERS for kind in _IDS},
}


@dataclass(frozen=True, slots=True)
class Facts:
    """The header of one file. `odd` are key-values of types that make no sense."""

    path: Path
    kvs: KeyValues
    tensors: Mapping[str, StoredTensor]
    odd: tuple[KV, ...] = ()

    def value(self, key: str) -> Any:
        """A key's value, None if there is no such key."""
        return self.kvs.value(key)

    def hparam(self, name: str) -> Any:
        """The value of `ARCHITECTURE.name`."""
        return self.kvs.hparam(name)

    @property
    def arch(self) -> str:
        return self.kvs.arch

    @property
    def jinja(self) -> str:
        return str(self.value("tokenizer.chat_template") or "")

    @property
    def is_embedder(self) -> bool:
        return self.kvs.is_embedder

    @property
    def is_model(self) -> bool:
        """Neither an adapter nor a projector, which belong to a model."""
        kind = self.value("general.type")
        return kind not in {"adapter", "projector", "mmproj"} and self.arch != "clip"

    @property
    def source(self) -> ChatTemplate | None:
        """The chat template, if there is one, and what the tokenizer says about it."""
        return source_of(self.kvs)


def read_facts(path: Path) -> Facts:
    """The facts of a GGUF file. Raises DiskError, and what `read_header` raises."""
    try:
        with path.open("rb") as file:

            def read(offset: int, nbytes: int) -> bytes:
                file.seek(offset)
                return file.read(nbytes)

            header = read_header(read, path.stat().st_size, path.name)
    except OSError as error:
        raise unreadable(str(path), error) from error
    odd = tuple(kv for kv in header.kvs if kv.type not in _TYPES.get(kv.key, {kv.type}))
    kvs = KeyValues(kv for kv in header.kvs if kv not in odd)
    return Facts(path, kvs, header.tensors, odd)
