"""GGUF files of a few arrays, made for a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from quantize.formats.gguf import TensorEntry, data_offsets, encode_header
from quantize.formats.kv import KV
from quantize.quantizers import QUANTIZERS

KVS = (
    KV("general.architecture", "STRING", "llama"),
    KV("llama.block_count", "UINT32", 1),
)
_NAMES = {"<f4": "F32", "<f8": "F64", "|i1": "I8", "<i2": "I16", "<i4": "I32", "<i8": "I64"}


def write_gguf(
    path: Path,
    tensors: Mapping[str, NDArray[Any]],
    kvs: Sequence[KV] = KVS,
    types: Mapping[str, str] | None = None,
) -> Path:
    """`types` are the ggml types that tensors become. Others are written as they are."""
    types = types or {}
    data = {
        name: values.tobytes()
        if name not in types
        else QUANTIZERS[types[name]].quantize(values.reshape(-1, values.shape[-1])).tobytes()
        for name, values in tensors.items()
    }
    offsets, size = data_offsets([len(one) for one in data.values()])
    entries = [
        TensorEntry(name, values.shape, types.get(name) or _NAMES[values.dtype.str], offset)
        for (name, values), offset in zip(tensors.items(), offsets, strict=True)
    ]
    header = encode_header(kvs, entries)
    out = bytearray(header) + bytes(size)
    for one, offset in zip(data.values(), offsets, strict=True):
        out[len(header) + offset : len(header) + offset + len(one)] = one
    path.write_bytes(out)
    return path
