"""How checkpoints store their weights: one file each, chosen by config.json's quantization_config.

The table's keys are values of `quant_method`; "" is a checkpoint without a quantization_config.
A row's value is a factory: it takes the quantization_config and gives the encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from quantize.checkpoints.base import Encoding
from quantize.errors import UnsupportedError
from quantize.registry import Registry

ENCODINGS: Registry[Callable[[Mapping[str, Any]], Encoding]] = Registry(
    "source encoding",
    {
        "": "quantize.checkpoints.encodings.plain:Plain",
        "mxfp4": "quantize.checkpoints.encodings.mxfp4:MXFP4",
    },
)


def encoding_of(config: Mapping[str, Any]) -> Encoding:
    """The encoding that config.json declares. Raises UnsupportedError for an unknown one."""
    declared = config.get("quantization_config") or {}
    method = declared.get("quant_method", "")
    if method not in ENCODINGS:
        known = ", ".join(name for name in ENCODINGS if name) or "none"
        raise UnsupportedError(
            "unknown-quant-method",
            f"weights stored as {method!r} cannot be read yet",
            where="config.json: quantization_config.quant_method",
            reason=f"stored encodings that can be read: plain floats, {known}",
            hint="convert the unquantized checkpoint that this one was made from",
        )
    return ENCODINGS[method](declared)
