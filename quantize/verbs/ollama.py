"""A model in Ollama, made of what a conversion wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from quantize.ollama.server import create
from quantize.progress import NullProgress, Progress


def create_in_ollama(
    name: str,
    place: Path,
    progress: Progress | None = None,
    digests: Mapping[Path, str] | None = None,
) -> create.Created:
    """Make a model in Ollama from a Modelfile, or a folder with one, and look what became of it."""
    return create.create(name, place, progress or NullProgress(), digests)
