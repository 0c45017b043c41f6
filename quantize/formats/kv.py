"""GGUF key-values: a key, a value type of the format, a value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

# gguf.md of the ggml project, gguf_metadata_value_type.
SCALAR_IDS = {
    "UINT8": 0, "INT8": 1, "UINT16": 2, "INT16": 3, "UINT32": 4, "INT32": 5, "FLOAT32": 6,
    "BOOL": 7, "STRING": 8, "UINT64": 10, "INT64": 11, "FLOAT64": 12,
}  # fmt: skip
ARRAY_ID = 9
# How the struct module writes the numbers among them.
STRUCT_CODES = {
    "UINT8": "B", "INT8": "b", "UINT16": "H", "INT16": "h", "UINT32": "I", "INT32": "i",
    "FLOAT32": "f", "BOOL": "?", "UINT64": "Q", "INT64": "q", "FLOAT64": "d",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class KV:
    """One key-value. `type` is a name of SCALAR_IDS, or "ARRAY[NAME]" with a tuple as value.

    A string is str, or bytes where it need not be UTF-8 (vocabularies).
    """

    key: str
    type: str
    value: Any


def u16(key: str, value: int) -> KV:
    return KV(key, "UINT16", int(value))


def u32(key: str, value: int) -> KV:
    return KV(key, "UINT32", int(value))


def i32(key: str, value: int) -> KV:
    return KV(key, "INT32", int(value))


def f32(key: str, value: float) -> KV:
    return KV(key, "FLOAT32", float(value))


def boolean(key: str, value: bool) -> KV:  # noqa: FBT001 (the value itself, no switch)
    return KV(key, "BOOL", bool(value))


def string(key: str, value: str | bytes) -> KV:
    return KV(key, "STRING", value)


def array(key: str, element: str, values: Iterable[Any]) -> KV:
    return KV(key, f"ARRAY[{element}]", tuple(values))


class KeyValues(tuple[KV, ...]):  # noqa: SLOT001 (it keeps its index)
    """Key-values in the order of a file, looked up by key. The first of equal keys counts.

    >>> kvs = KeyValues([string("general.architecture", "llama"), u32("llama.block_count", 2)])
    >>> kvs.arch, kvs.hparam("block_count"), kvs.value("general.name")
    ('llama', 2, None)
    """

    @classmethod
    def merged(cls, kvs: Iterable[KV]) -> KeyValues:
        """One entry a key: the place of the first, the value of the last, as llama.cpp writes."""
        return cls({kv.key: kv for kv in kvs}.values())

    @cached_property
    def _by_key(self) -> dict[str, KV]:
        return {kv.key: kv for kv in reversed(self)}

    def __reduce__(self) -> tuple[type[KeyValues], tuple[tuple[KV, ...]]]:
        return KeyValues, (tuple(self),)

    def find(self, key: str) -> KV | None:
        """The key-value of this key."""
        return self._by_key.get(key)

    def value(self, key: str, default: Any = None) -> Any:
        """The value of a key, or `default`."""
        kv = self._by_key.get(key)
        return default if kv is None else kv.value

    def hparam(self, name: str, default: Any = None) -> Any:
        """The value of `ARCHITECTURE.name`, or `default`."""
        return self.value(f"{self.arch}.{name}", default)

    @property
    def hparams(self) -> dict[str, Any]:
        """All values of the architecture's own keys, without its name before them."""
        prefix = f"{self.arch}."
        return {kv.key.removeprefix(prefix): kv.value for kv in self if kv.key.startswith(prefix)}

    @property
    def arch(self) -> str:
        """The architecture; "" where the file does not name it."""
        return str(self.value("general.architecture") or "")

    @property
    def is_embedder(self) -> bool:
        """Whether llama.cpp and Ollama make embeddings of texts with the model, and no text."""
        return self.hparam("pooling_type") is not None

    def with_last(self, last: Sequence[KV]) -> KeyValues:
        """These key-values, then `last`, which replace others of the same keys."""
        keys = {kv.key for kv in last}
        return KeyValues((*(kv for kv in self if kv.key not in keys), *last))
