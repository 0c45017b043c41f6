"""GGUF key-values: a key, a value type of the format, a value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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


def with_last(kvs: Iterable[KV], last: Sequence[KV]) -> tuple[KV, ...]:
    """`kvs` with `last` behind them, in place of others of the same keys."""
    keys = {kv.key for kv in last}
    return (*(kv for kv in kvs if kv.key not in keys), *last)


def array(key: str, element: str, values: Iterable[Any]) -> KV:
    return KV(key, f"ARRAY[{element}]", tuple(values))
