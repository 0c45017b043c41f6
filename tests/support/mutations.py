"""Documents and GGUF headers as nobody would have written them, from real ones."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from quantize.formats.kv import KV

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, -(10**20), 1.5, -0.0, 1e308,
    float("nan"), float("inf"), float("-inf"), "", "x", "\ud800", "a\x1b[2J", "../../x", "9" * 5000,
    "true", [], [1], ["x"], [[1]], [None], [float("nan")], [["a", "b"]], {}, {"a": 1},
    {"type": "x"}, {"content": "x"}, [{"content": 1, "id": "x"}], {"": {"": 1}},
)  # fmt: skip
# Of another type each than key-values have, and such that no reader should believe.
_KVS: tuple[tuple[str, Any], ...] = (
    ("UINT8", 1), ("INT8", -1), ("UINT32", 2**32 - 1), ("INT32", -1), ("UINT64", 2**64 - 1),
    ("INT64", -(2**63)), ("FLOAT32", float("nan")), ("FLOAT64", float("inf")), ("BOOL", True),
    ("STRING", b""), ("STRING", b"\xff\xfe"), ("STRING", b"x"), ("ARRAY[UINT32]", ()),
    ("ARRAY[STRING]", (b"a",)), ("ARRAY[FLOAT32]", (0.5,)), ("ARRAY[INT32]", (-1, 7)),
)  # fmt: skip


def mutated_json(text: str, moment: random.Random) -> bytes:
    """A JSON document with one to three values changed or taken away."""
    document = json.loads(text)
    for _ in range(moment.choice((1, 1, 1, 2, 3))):
        path = moment.choice(list(_paths(document)))
        document = _changed(document, path, moment)
    return json.dumps(document).encode("utf-8", "surrogatepass")


def mutated_kvs(kvs: list[KV], moment: random.Random) -> list[KV]:
    """Key-values of which one or two are gone, or of another type or value."""
    changed = list(kvs)
    for _ in range(moment.choice((1, 1, 2))):
        place = moment.randrange(len(changed))
        if moment.random() < 0.15 and len(changed) > 1:
            del changed[place]
        else:
            kind, value = moment.choice(_KVS)
            changed[place] = replace(changed[place], type=kind, value=value)
    return changed


def _paths(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values are; of long lists and tables the first few."""
    yield path
    if isinstance(document, dict):
        for key in list(document)[:60]:
            yield from _paths(document[key], (*path, key))
    elif isinstance(document, list):
        for index in range(min(len(document), 6)):
            yield from _paths(document[index], (*path, index))


def _changed(document: Any, path: tuple[Any, ...], moment: random.Random) -> Any:
    value = copy.deepcopy(moment.choice(_VALUES))
    if not path:
        return value
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    if moment.random() < 0.15:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return document
