"""Key-values and shapes that differ, each side in a few words."""

from __future__ import annotations

from typing import Any

from quantize.cli.views.inspection import value_text
from quantize.cli.views.tables import shape_text
from quantize.formats.kv import KV
from quantize.verbs.common.comparison import KVDifference, TensorDifference

MISSING = "missing"
# What is shown before the first character that differs, and of it.
_BEFORE, _LENGTH = 20, 80


def kv_texts(difference: KVDifference) -> tuple[str, str]:
    """Both values, shortened so that the difference shows."""
    a, b = difference.reference, difference.other
    if a is None or b is None:
        return _text(a), _text(b)
    prefixes = ("", "") if a.type == b.type else (f"{a.type.lower()} ", f"{b.type.lower()} ")
    first = first_difference(a.value, b.value)
    texts = [prefix + _from(kv.value, first) for prefix, kv in zip(prefixes, (a, b), strict=True)]
    return texts[0], texts[1]


def shape_texts(difference: TensorDifference) -> tuple[str, str]:
    a, b = (
        MISSING if shape is None else shape_text(shape)
        for shape in (difference.reference, difference.other)
    )
    return a, b


def first_difference(a: Any, b: Any) -> int | None:
    """The first place where two arrays or two strings differ; None for anything else."""
    if not (isinstance(a, tuple | str) and type(a) is type(b)):
        return None
    pairs = enumerate(zip(a, b, strict=False))
    return next((place for place, (x, y) in pairs if x != y), min(len(a), len(b)))


def _text(kv: KV | None) -> str:
    return MISSING if kv is None else value_text(kv.value)


def _from(value: Any, first: int | None) -> str:
    if isinstance(value, tuple) and first is not None:
        here = value_text(value[first]) if first < len(value) else "nothing"
        return f"{len(value)} entries, [{first}] is {here}"
    if isinstance(value, str) and first is not None and len(value) > _LENGTH:
        start = max(first - _BEFORE, 0)
        shown = repr(value[start : start + _LENGTH])
        before, after = ("... " if start else ""), (" ..." if start + _LENGTH < len(value) else "")
        return f"{before}{shown}{after}"
    return value_text(value)
