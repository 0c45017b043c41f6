"""Whether a GGUF file and its Modelfile will work in Ollama."""

from __future__ import annotations

from pathlib import Path

from quantize.ollama.doctor import diagnosis


def diagnose(file: Path, modelfile: Path | None = None) -> tuple[diagnosis.Finding, ...]:
    """What Ollama will make of a GGUF file and its Modelfile."""
    return diagnosis.diagnose(file, modelfile)
