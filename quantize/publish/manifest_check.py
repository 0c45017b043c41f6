"""A GGUF file against the manifest next to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from quantize.errors import UsageError, VerificationError
from quantize.progress import Progress
from quantize.storage.sink import disk_error

MANIFEST = "manifest.json"
_PIECE = 1 << 20
_AGAIN = "convert it again, or download it again"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a manifest says of one file: `output` as written, `options` and `source` of all."""

    output: Mapping[str, Any]
    options: Mapping[str, Any]
    source: Mapping[str, Any]


def recorded(file: Path) -> Recorded | None:
    """The record of `file` in the manifest of its folder; None if there is none.

    Raises UsageError for a manifest that cannot be read.
    """
    path = file.with_name(MANIFEST)
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_bytes())
        for output in document["outputs"]:
            if output["file"] == file.name:
                return Recorded(output, document["options"], document["source"])
    except (ValueError, LookupError, TypeError) as error:
        raise UsageError(
            "bad-manifest",
            "the manifest cannot be read",
            where=str(path),
            reason=f"{type(error).__name__}: {error}",
            hint="move it away to verify the file without it",
        ) from error
    return None


def check_digests(file: Path, record: Recorded, progress: Progress) -> None:
    """Raise VerificationError, with the tensor's name, where the file is not the recorded one."""
    output = record.output
    size = file.stat().st_size
    if size != output["size"]:
        raise _mismatch(file, "its size", f"{size} bytes, where {output['size']} are recorded")
    progress.start("digests", size)
    whole = hashlib.sha256()
    try:
        with file.open("rb", buffering=0) as opened:
            for tensor in sorted(output["tensors"], key=lambda tensor: int(tensor["offset"])):
                _hash(opened, tensor["offset"], progress, "header and padding", whole)
                own = hashlib.sha256()
                end = tensor["offset"] + tensor["nbytes"]
                _hash(opened, end, progress, tensor["name"], whole, own)
                if own.hexdigest() != tensor["sha256"]:
                    raise _mismatch(file, tensor["name"], "the SHA-256 of the tensor differs")
            _hash(opened, size, progress, "header and padding", whole)
    except OSError as error:
        raise disk_error(file, error) from error
    if whole.hexdigest() != output["sha256"]:
        reason = "the tensors are right, and the SHA-256 of the file differs"
        raise _mismatch(file, "header or padding", reason)
    progress.finish()


def _hash(file: IO[bytes], end: int, progress: Progress, item: str, *shas: hashlib._Hash) -> None:
    """Feed what lies between here and `end`."""
    left = end - file.tell()
    while left > 0 and (piece := file.read(min(left, _PIECE))):
        for sha in shas:
            sha.update(piece)
        left -= len(piece)
        progress.advance(len(piece), item)


def _mismatch(file: Path, what: str, reason: str) -> VerificationError:
    return VerificationError(
        "not-as-recorded",
        "not what the manifest records",
        where=f"{file.name}: {what}",
        reason=reason,
        hint=_AGAIN,
    )
