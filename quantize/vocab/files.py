"""The tokenizer files of a checkpoint, read once and checked as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from quantize.errors import CheckpointError


class VocabFiles(Protocol):
    """What this package needs of a checkpoint: its small files by relative name."""

    def read(self, name: str) -> bytes | None:
        """The bytes of one file, or None if the checkpoint has no such file."""

    def names(self) -> Iterable[str]:
        """The relative names of all files, with forward slashes."""


class TokenizerFiles:
    """`VocabFiles` that remembers what it has read: a tokenizer.json can have 30 MB."""

    def __init__(self, source: VocabFiles) -> None:
        self._source = source
        self._bytes: dict[str, bytes | None] = {}
        self._json: dict[str, Mapping[str, Any] | None] = {}

    def names(self) -> Iterable[str]:
        return self._source.names()

    def read(self, name: str) -> bytes | None:
        if name not in self._bytes:
            self._bytes[name] = self._source.read(name)
        return self._bytes[name]

    def text(self, name: str) -> str | None:
        """A UTF-8 file as text, or None. Raises CheckpointError("bad-tokenizer-file")."""
        data = self.read(name)
        if data is None:
            return None
        try:
            return data.decode("utf-8-sig" if name.endswith(".json") else "utf-8")
        except UnicodeDecodeError as error:
            raise bad_file(name, f"it is not UTF-8: {error.reason} at byte {error.start}") from None

    def json(self, name: str) -> Mapping[str, Any] | None:
        """A JSON object, or None if there is no such file.

        Raises CheckpointError("bad-tokenizer-file") for anything but a JSON object.
        """
        if name not in self._json:
            self._json[name] = self._parse(name)
        return self._json[name]

    def _parse(self, name: str) -> Mapping[str, Any] | None:
        text = self.text(name)
        if text is None:
            return None
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise bad_file(name, f"it is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise bad_file(name, f"its top level is {type(value).__name__}, not an object")
        return value


def bad_file(name: str, reason: str) -> CheckpointError:
    """The error for a tokenizer file that cannot be what it claims to be."""
    return CheckpointError(
        "bad-tokenizer-file",
        "the tokenizer file cannot be used",
        where=name,
        reason=reason,
        hint="download the file again, or take the tokenizer files of the original model",
    )


def is_newer_json(files: TokenizerFiles) -> bool:
    """Whether transformers 5 saved the JSON files: only tokenizer.json lists the added tokens.

    It names the library that does the work as "backend", which no earlier version did.
    """
    config = files.json("tokenizer_config.json") or {}
    return "backend" in config and "added_tokens_decoder" not in config


def section(value: Mapping[str, Any] | None, key: str) -> Mapping[str, Any]:
    """The object under `key`, empty if it is absent, null or no object."""
    found = value.get(key) if value else None
    return found if isinstance(found, dict) else {}


def entries(value: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The objects in the list under `key`; anything else in it is left out."""
    found = value.get(key)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
