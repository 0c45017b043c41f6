"""How checkpoints store their weights: one file each, chosen by config.json's quantization_config.

The table's keys are values of `quant_method`; "" is a checkpoint without a quantization_config.
A row's value is a factory: it takes the quantization_config and gives the encoding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from quantize.checkpoints.base import Encoding
from quantize.errors import CheckpointError, UnsupportedError
from quantize.registry import Registry

ENCODINGS: Registry[Callable[[Mapping[str, Any]], Encoding]] = Registry(
    "source encoding",
    "quantize.checkpoints.encodings",
    {
        "": "plain:Plain",
        "awq": "awq:AWQ",
        "bitnet": "bitnet:BitNet",
        "bitsandbytes": "bitsandbytes:BitsAndBytes",
        "compressed-tensors": "compressed_tensors:CompressedTensors",
        "fbgemm_fp8": "fp8:FBGEMM",
        "fp8": "fp8:FP8",
        "gptq": "gptq:GPTQ",
        "mlx": "mlx:MLX",
        "modelopt": "modelopt:ModelOpt",
        "mxfp4": "mxfp4:MXFP4",
        "torchao": "torchao:TorchAO",
    },
)

# Where programs write their settings when not into config.json, and the method that this means.
_OTHER_FILES = {"quantize_config.json": "gptq", "hf_quant_config.json": "modelopt"}
_OTHER_KEYS = {"load_in_4bit": "bitsandbytes", "load_in_8bit": "bitsandbytes"}


@contextmanager
def understanding() -> Iterator[None]:
    """Turn whatever a config of nonsense leads to into CheckpointError."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, re.error) as error:
        raise CheckpointError(
            "bad-quantization-config",
            "it makes no sense, or not with these weights",
            where="config.json: quantization_config",
            reason=f"{type(error).__name__}: {error}",
            hint="download config.json and the weights from the same revision",
        ) from error


def encoding_of(config: Mapping[str, Any], read_json: Callable[[str], Any]) -> Encoding:
    """The encoding that config.json declares. Raises UnsupportedError for an unknown one."""
    declared = _declared(config, read_json)
    method = _method(declared)
    if method not in ENCODINGS:
        known = ", ".join(name for name in ENCODINGS if name)
        raise UnsupportedError(
            "unknown-quant-method",
            f"weights stored as {method!r} cannot be read yet",
            where="config.json: quantization_config.quant_method",
            reason=f"stored encodings that can be read: plain floats, {known}",
            hint="convert the unquantized checkpoint that this one was made from",
        )
    return ENCODINGS[method](declared)


def _declared(config: Mapping[str, Any], read_json: Callable[[str], Any]) -> Mapping[str, Any]:
    """The quantization_config, wherever it is; {} if there is none."""
    places = [config, *(part for part in config.values() if isinstance(part, Mapping))]
    for place in places:
        for key in ("quantization_config", "compression_config"):
            if key in place and place[key] is not None:
                return _checked(place[key], "config.json: " + key)
    # MLX's own key, which older versions wrote alone. Other programs mean other things by it.
    if _is_mlx(config.get("quantization")):
        return _checked(config["quantization"], "config.json: quantization")
    for file, method in _OTHER_FILES.items():
        found = read_json(file)
        if found is not None:
            return {"quant_method": method, **_checked(found, file)}
    return {}


def _checked(found: Any, where: str) -> Mapping[str, Any]:
    if isinstance(found, Mapping):
        return found
    raise CheckpointError(
        "bad-quantization-config",
        "not a JSON object",
        where=where,
        reason="it says how the weights are stored",
        hint="download the file again",
    )


def _is_mlx(declared: Any) -> bool:
    """MLX is the one program that names no method."""
    return (
        isinstance(declared, Mapping)
        and {"group_size", "bits"} <= declared.keys()
        and "quant_method" not in declared
    )


def _method(declared: Mapping[str, Any]) -> str:
    method = declared.get("quant_method")
    if method is None:
        if _is_mlx(declared):
            return "mlx"
        flags = [name for key, name in _OTHER_KEYS.items() if declared.get(key)]
        return flags[0] if flags else "" if not declared else "(none)"
    return str(method)
