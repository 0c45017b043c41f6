"""A Modelfile for a GGUF file."""

from __future__ import annotations

from pathlib import Path

from quantize.ollama.modelfile.existing import modelfile_beside
from quantize.options.modelfile import ModelfileOptions


def modelfile_text(file: Path, folder: Path, options: ModelfileOptions | None = None) -> str:
    """A Modelfile in `folder` for a GGUF file, whoever made it."""
    return modelfile_beside(file, folder, options or ModelfileOptions())
