"""Names that a file can have on every system, whichever one this is."""

from __future__ import annotations

import re

from quantize.errors import UsageError

# What Windows or a URL gives another meaning, and what no terminal shows.
_FORBIDDEN = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]')
# Devices of Windows, whatever comes after a point.
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
_LONGEST = 255
# Put behind a file's name while it is written.
_SUFFIX = ".partial"


def check_file_name(name: str, where: str) -> None:
    """Raise UsageError for a name that some system would refuse or read as a path."""
    reason = _wrong(name)
    if reason is not None:
        raise UsageError(
            "bad-name",
            f"{name!r} cannot be the name of a file",
            where=where,
            reason=reason,
            hint="give another with --name: letters, digits, points, hyphens and underscores",
        )


def _wrong(name: str) -> str | None:
    found = _FORBIDDEN.search(name)
    if found is not None:
        return f"{found[0]!r} is not part of a name on every system"
    if name.strip(". ") == "" or name != name.rstrip(". ") or name != name.lstrip():
        return "it is empty, or begins with a space, or ends with a point or a space"
    if _RESERVED.fullmatch(name):
        return "Windows has a device of that name"
    try:
        length = len((name + _SUFFIX).encode())
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if length > _LONGEST:
        return f"with {_SUFFIX} behind it, it has {length} bytes; file systems take {_LONGEST}"
    return None
