"""The files of a split model: Ollama does not look for the others, each needs a FROM line."""

from __future__ import annotations

import re
from pathlib import Path

from quantize.errors import UsageError

SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")


def shards_of(path: Path) -> tuple[Path, ...]:
    """All files of the model that `path` is of, by its name. Raises UsageError("no-shard")."""
    shard = SHARD.fullmatch(path.name)
    if shard is None:
        return (path,)
    count = int(shard[3])
    names = [f"{shard[1]}-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1)]
    found = tuple(path.with_name(name) for name in names)
    for one in found:
        if not one.is_file():
            raise UsageError(
                "no-shard",
                f"a shard of {count} is not there",
                where=str(one),
                reason="Ollama makes one model of all of them, or none",
                hint="put all files of the model into one folder",
            )
    return found
