"""manifest.json: what the files of a conversion were made from, by what, and what is in them.

It holds facts that decide bytes and nothing else, neither times nor paths nor the number of
workers, so the same conversion gives the same manifest on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from quantize import __version__

# Raised when a reader of older manifests would misunderstand a new one.
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that was read. `sha256` is None where nobody knows it.

    `checked` is False where it is what the Hub lists, and was not held against the bytes: of a
    stream, files that one run did not read from end to end. Else there is nothing to say.
    """

    name: str
    size: int
    sha256: str | None = None
    checked: bool | None = None


@dataclass(frozen=True, slots=True)
class AdapterRecord:
    """An adapter that was merged, times `scale`. Its base is named by the adapter itself."""

    name: str
    scale: float
    base: str
    files: Sequence[SourceFile] = ()
    repo: str | None = None
    commit: str | None = None


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """`repo` and `commit` are those of the Hub, None for a local folder or file."""

    name: str
    arch: str
    files: Sequence[SourceFile] = ()
    repo: str | None = None
    commit: str | None = None
    adapters: Sequence[AdapterRecord] | None = None


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """`offset` counts from the start of the file; `sha256` is of the tensor's bytes."""

    name: str
    type: str
    shape: Sequence[int]
    offset: int
    nbytes: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """`plan` is the digest of the plan: equal plans and equal weights give equal files."""

    file: str
    type: str
    size: int
    sha256: str
    plan: str
    bits_per_weight: float
    tensors: Sequence[TensorRecord] = ()


def manifest(
    source: SourceRecord, options: Mapping[str, object], outputs: Sequence[OutputRecord]
) -> str:
    """The text of manifest.json. `options` are the choices that decide bytes, as JSON values."""
    files = sorted(source.files, key=lambda file: file.name)
    document = {
        "schema": SCHEMA,
        "tool": {"name": "quantize", "version": __version__},
        "source": asdict(replace(source, files=files)),
        "options": options,
        "outputs": [asdict(output) for output in outputs],
    }
    return as_text(document)


def as_text(document: Mapping[str, object]) -> str:
    """A manifest as it is written: the same facts give the same bytes."""
    return json.dumps(_known(document), indent=1, sort_keys=True) + "\n"


def _known(value: object) -> object:
    """Without the entries that nobody knows."""
    if isinstance(value, Mapping):
        return {key: _known(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [_known(entry) for entry in value]
    return value
