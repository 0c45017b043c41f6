"""Hugging Face checkpoints to quantized GGUF files, with llama.cpp's bytes.

The names of `quantize.api` are names of this package too. They load on first use, so that
`quantize --help` imports none of what they need.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantize.api import *  # noqa: F403 (api has an __all__, which a test holds)

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # `from quantize import errors` asks for the attribute before it looks for the module.
    if find_spec(f"quantize.{name}") is None:
        api = import_module("quantize.api")
        if name in api.__all__:
            return getattr(api, name)
    raise AttributeError(f"module 'quantize' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *import_module("quantize.api").__all__]
