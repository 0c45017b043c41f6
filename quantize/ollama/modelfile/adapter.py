"""The Modelfile of a GGUF adapter."""

from __future__ import annotations

_NOTE = """\
# Ollama loads a GGUF adapter with its base up to version 0.34.0; later ones refuse ADAPTER.
# For those, merge it: quantize convert BASE --lora ADAPTER
"""


def adapter_modelfile(base: str, name: str, file: str) -> str:
    """The text of a Modelfile: `file` is the adapter's, `base` the model it was trained on.

    `name` is what the base's file is named after.
    """
    return f"""\
{_NOTE}
# The base, as `quantize convert {base}` names it.
FROM ./{name}-Q4_K_M.gguf
ADAPTER ./{file}
"""
