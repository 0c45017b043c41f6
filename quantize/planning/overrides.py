"""Key-values that a person gives in place of the model's own, or in addition to them.

llama-quantize takes a value of another kind too; a model with it does not load.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from quantize.errors import UsageError
from quantize.formats.kv import KV
from quantize.planning.edits import said
from quantize.planning.model import Model

_KINDS = {
    "int": ("UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "UINT64", "INT64"),
    "float": ("FLOAT32", "FLOAT64"),
    "bool": ("BOOL",),
    "str": ("STRING",),
}
_KIND_OF = {type: kind for kind, types in _KINDS.items() for type in types}
_LONGEST_SHOWN = 40


def override(model: Model, overrides: Sequence[KV]) -> Model:
    """The model with these key-values, which come last in the file, as llama-quantize has them.

    Raises UsageError for a value of another kind than the model's own.
    """
    for kv in overrides:
        own = model.kvs.find(kv.key)
        if own is not None and _KIND_OF.get(own.type) != _KIND_OF[kv.type]:
            kind = _KIND_OF.get(own.type)
            raise UsageError(
                "other-kind",
                f"the model's own value is {own.type}",
                where=f"--override-kv {said(kv)}",
                reason="llama.cpp reads a key as that, or not at all",
                hint=f"{kv.key}={kind}:VALUE" if kind else "an array cannot be replaced",
            )
    # The mixes look at some of them, so they are what the model has from here on.
    kvs = model.kvs.with_last(overrides)
    return replace(model, kvs=kvs, added=(*model.added, *overrides))


def notes_on_overrides(model: Model, overrides: Sequence[KV]) -> Iterator[str]:
    """What each replaces in `model`, which has none of them yet."""
    for kv in overrides:
        own = model.kvs.find(kv.key)
        before = "a new key" if own is None else f"in place of {_shown(own.value)}"
        yield f"--override-kv {said(kv)}: {before}"


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
