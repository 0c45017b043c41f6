"""What a person changes of a model before its tensors get types, in llama-quantize's words.

Source: tools/quantize/quantize.cpp, and string_parse_kv_override in common/common.cpp of llama.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quantize.errors import UsageError
from quantize.formats.kv import KV, boolean, f32, string, u32
from quantize.options.edits import EditOptions
from quantize.options.imatrix import ImatrixOptions

_OVERRIDE, _PRUNE = "--override-kv", "--prune-layers"
_LONGEST = 127  # bytes of a key, and of a text
_LARGEST_INT = 2**32 - 1
_LARGEST_FLOAT = float.fromhex("0x1.fffffep+127")
_BOOLS = {"true": True, "false": False}
# These keys control the layout of a file or how it is read, so they cannot be overridden.
_RESERVED = ("general.architecture", "general.alignment")
_OF_PARTS = "split."


@dataclass(frozen=True, slots=True)
class Edits:
    """`overrides` replace key-values or are added, `pruned` blocks are left out.

    Of an importance matrix, entries with one of `excluded` in their names are left out, or all but
    those with one of `included`.
    """

    overrides: tuple[KV, ...] = ()
    pruned: tuple[int, ...] = ()
    excluded: tuple[str, ...] = ()
    included: tuple[str, ...] = ()

    def record(self) -> dict[str, object] | None:
        """For the manifest, by the names of the options; None where nothing is changed."""
        written = {
            "override_kv": [said(kv) for kv in self.overrides],
            "prune_layers": list(self.pruned),
            "exclude_weights": list(self.excluded),
            "include_weights": list(self.included),
        }
        return {name: values for name, values in written.items() if values} or None


UNEDITED = Edits()


def edits(
    overrides: Sequence[str] = (),
    pruned: str | None = None,
    excluded: Sequence[str] = (),
    included: Sequence[str] = (),
) -> Edits:
    """From the values of the options as a person writes them. Raises UsageError."""
    kvs = tuple(map(parse_override, overrides))
    for kv in kvs:
        if [other.key for other in kvs].count(kv.key) > 1:
            raise _bad_override(said(kv), "the key is given twice")
    if excluded and included:
        raise UsageError(
            "exclude-or-include",
            "--exclude-weights and --include-weights do not go together",
            reason="what is not included is left out already",
            hint="leave out one of them",
        )
    layers = () if pruned is None else parse_layers(pruned)
    return Edits(kvs, layers, tuple(excluded), tuple(included))


def edits_of(changes: EditOptions, matrix: ImatrixOptions) -> Edits:
    """What these options say. Raises UsageError."""
    return edits(
        changes.override_kv, changes.prune_layers, matrix.exclude_weights, matrix.include_weights
    )


def edits_of_record(record: Mapping[str, Any]) -> Edits:
    """What `Edits.record` made. Raises UsageError, LookupError and TypeError for anything else."""
    layers = ",".join(map(str, record.get("prune_layers", ())))
    return edits(
        record.get("override_kv", ()),
        layers or None,
        record.get("exclude_weights", ()),
        record.get("include_weights", ()),
    )


def parse_override(text: str) -> KV:
    """KEY=TYPE:VALUE, TYPE one of int, float, bool and str. Raises UsageError.

    An int is written as UINT32 and a float as FLOAT32, whatever the key had before.
    """
    key, _, typed = text.partition("=")
    type, colon, value = typed.partition(":")
    if not key or not colon or type not in _PARSERS:
        raise _bad_override(text, "it is not KEY=TYPE:VALUE, TYPE one of int, float, bool and str")
    if _too_long(key):
        raise _bad_override(text, f"a key has at most {_LONGEST} bytes of UTF-8")
    if key in _RESERVED or key.startswith(_OF_PARTS):
        raise _bad_override(text, "the layout of the file depends on the key")
    try:
        return _PARSERS[type](key, value)
    except ValueError as error:
        raise _bad_override(text, str(error)) from error


def said(kv: KV) -> str:
    """An override as a person writes it."""
    type = _NAMES[kv.type]
    value = str(kv.value).lower() if type == "bool" else kv.value
    return f"{kv.key}={type}:{value}"


def parse_layers(text: str) -> tuple[int, ...]:
    """L0,L1,... in ascending order, each once. Raises UsageError."""
    fields = text.split(",")
    if not all(field.isascii() and field.isdigit() for field in fields):
        raise UsageError(
            "bad-layers",
            f"{text!r} is not a list of block numbers",
            where=_PRUNE,
            hint="such as 5,6,11; the first block is 0",
        )
    return tuple(sorted(set(map(int, fields))))


def _int(key: str, value: str) -> KV:
    number = int(value)
    if not 0 <= number <= _LARGEST_INT:
        raise ValueError(f"an int is written as UINT32, 0 to {_LARGEST_INT}")
    return u32(key, number)


def _float(key: str, value: str) -> KV:
    number = float(value)
    if not math.isfinite(number) or abs(number) > _LARGEST_FLOAT:
        raise ValueError("a float must be finite as FLOAT32")
    return f32(key, number)


def _bool(key: str, value: str) -> KV:
    if value not in _BOOLS:
        raise ValueError("a bool is true or false")
    return boolean(key, _BOOLS[value])


def _str(key: str, value: str) -> KV:
    if _too_long(value):
        raise ValueError(f"a str has at most {_LONGEST} bytes of UTF-8")
    return string(key, value)


def _too_long(text: str) -> bool:
    """Whether llama-quantize would not take it; what is not UTF-8 raises a ValueError."""
    return len(text.encode()) > _LONGEST


_PARSERS: Mapping[str, Callable[[str, str], KV]] = {
    "int": _int, "float": _float, "bool": _bool, "str": _str,
}  # fmt: skip
_NAMES = {"UINT32": "int", "FLOAT32": "float", "BOOL": "bool", "STRING": "str"}


def _bad_override(text: str, reason: str) -> UsageError:
    return UsageError(
        "bad-override",
        f"{text!r} cannot be written",
        where=_OVERRIDE,
        reason=reason,
        hint="such as llama.rope.freq_base=float:1000000",
    )
