"""What a checkpoint's encoding cannot be: the refusals that several encodings share."""

from __future__ import annotations

from collections.abc import Iterable

from quantize.errors import UnsupportedError


def unknown_format(message: str, key: str, readable: str, known: Iterable[str]) -> UnsupportedError:
    """The error for a format under `key` of quantization_config; `readable` introduces `known`."""
    return UnsupportedError(
        "unknown-quant-format",
        message,
        where=f"config.json: quantization_config.{key}",
        reason=f"{readable}: {', '.join(known)}",
        hint="convert the unquantized checkpoint that this one was made from",
    )
