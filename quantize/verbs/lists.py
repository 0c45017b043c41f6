"""What is supported: file types, and names of architectures."""

from __future__ import annotations

from collections.abc import Mapping

from quantize.architectures import ARCHITECTURES
from quantize.recipes import FTYPES, FileType


def list_types() -> tuple[FileType, ...]:
    """The file types that `--type` takes.

    >>> [each.name for each in list_types()][:3]
    ['F32', 'F16', 'BF16']
    """
    return tuple(FTYPES.values())


def list_architectures() -> Mapping[str, str]:
    """Names of config.json and the GGUF architecture that each becomes.

    >>> list_architectures()["Qwen3ForCausalLM"]
    'qwen3'
    """
    return {name: ARCHITECTURES[name].arch for name in sorted(ARCHITECTURES, key=str.casefold)}
