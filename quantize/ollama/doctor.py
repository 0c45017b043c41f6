"""Whether a GGUF file and its Modelfile will be a first-class model in Ollama."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quantize.errors import DiskError
from quantize.ollama.checks import CHECKS
from quantize.ollama.checks.base import Level, Pair
from quantize.ollama.confined import translate_confined
from quantize.ollama.facts import read_facts
from quantize.ollama.reading import Modelfile, read_modelfile


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says; `remedy` is empty where all is fine."""

    level: Level
    check: str
    message: str = ""
    remedy: str = ""


def diagnose(path: Path, modelfile: Path | None) -> tuple[Finding, ...]:
    """One finding for each check that finds nothing, and one for each problem of the others.

    Raises what reading the two files raises: CheckpointError, UnsupportedError, DiskError,
    UsageError("bad-modelfile").
    """
    file = read_facts(path)
    source = file.source
    pair = Pair(
        file,
        None if modelfile is None else _read(modelfile),
        (path if modelfile is None else modelfile).parent,
        None if source is None or file.is_embedder else translate_confined(source),
    )
    found = []
    for name, check in CHECKS.items():
        problems = [Finding(p.level, name, p.message, p.remedy) for p in check(pair)]
        found += problems or [Finding("fine", name)]
    return tuple(found)


def _read(path: Path) -> Modelfile:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DiskError(
            "unreadable", "cannot be read", where=str(path), reason=error.strerror or str(error)
        ) from error
    return read_modelfile(data, str(path))
