"""Sizes, counts, times and lists as people write them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from quantize.errors import UsageError

_DECIMAL = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?\s*", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Read a size in bytes: "600MB" and "600M" are decimal, "600MiB" is binary.

    Raises UsageError("bad-size") when the text is not a size.
    """
    match = _SIZE.fullmatch(text)
    if match is None or (match[3] and not match[2]):
        raise UsageError(
            "bad-size",
            f"{text!r} is not a size",
            hint="write a number and a unit: 600MB, 4G, 2.5GiB",
        )
    unit = match[2].upper()
    factor = _BINARY[unit] if match[3] else _DECIMAL[unit]
    return round(float(match[1]) * factor)


def format_bytes(nbytes: float) -> str:
    """Decimal units with three significant digits: 4920734272 -> "4.92 GB"."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(nbytes) < 999.5 or unit == "TB":
            break
        nbytes /= 1000
    if unit == "B":
        return f"{nbytes:.0f} B"
    digits = 2 if abs(nbytes) < 9.995 else 1 if abs(nbytes) < 99.95 else 0
    return f"{nbytes:.{digits}f} {unit}"


def format_count(count: float) -> str:
    """A number of weights: 1235814400 -> "1.24 B"."""
    for unit in ("", " K", " M", " B", " T"):
        if abs(count) < 999.5 or unit == " T":
            break
        count /= 1000
    if not unit:
        return f"{count:.0f}"
    digits = 2 if abs(count) < 9.995 else 1 if abs(count) < 99.95 else 0
    return f"{count:.{digits}f}{unit}"


def format_seconds(seconds: float) -> str:
    """0.42 -> "0.4 s", 75 -> "1 min 15 s", 3700 -> "1 h 02 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def listed(names: Iterable[str], shown: int = 5) -> str:
    """The first names, and how many more there are.

    >>> listed(["a", "b", "c", "d"], shown=2)
    'a, b and 2 more'
    """
    names = list(names)
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")
