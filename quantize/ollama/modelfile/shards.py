"""The files of a split model: Ollama does not look for the others, each needs a FROM line."""

from __future__ import annotations

from pathlib import Path

from quantize.errors import UsageError
from quantize.formats.gguf_split import parts_of


def shards_of(path: Path) -> tuple[Path, ...]:
    """All files of the model that `path` is of, by its name. Raises UsageError("no-shard")."""
    found = tuple(path.with_name(name) for name in parts_of(path.name))
    if found == (path,):
        return found
    for one in found:
        if not one.is_file():
            raise UsageError(
                "no-shard",
                f"a shard of {len(found)} is not there",
                where=str(one),
                reason="Ollama makes one model of all of them, or none",
                hint="put all files of the model into one folder",
            )
    return found
