"""GGUF headers: what reading and writing share, and the writer.

Layout (docs/gguf.md of the ggml project, ggml/src/gguf.cpp), all little endian: magic, version,
number of tensors and of key-values, the key-values, the tensor infos, padding; then the data
section, where every tensor begins at a multiple of the alignment.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from quantize.errors import CheckpointError
from quantize.formats.kv import ARRAY_ID, KV, SCALAR_IDS, STRUCT_CODES
from quantize.tensors import GGML_TYPES, Shape

MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT_KEY = "general.alignment"
DEFAULT_ALIGNMENT = 32
MAX_DIMS = 4
MAX_NAME_NBYTES = 63


def pad(nbytes: int, alignment: int) -> int:
    """`nbytes` rounded up to a multiple of `alignment`."""
    return -(-nbytes // alignment) * alignment


def alignment_of(kvs: Iterable[KV]) -> int:
    """The alignment that the key-values ask for. Raises ValueError if it is not a power of two."""
    for kv in kvs:
        if kv.key == ALIGNMENT_KEY:
            value = kv.value
            if kv.type != "UINT32" or value < 1 or value & (value - 1):
                raise ValueError(f"{ALIGNMENT_KEY} must be a UINT32 power of two, not {value!r}")
            return int(value)
    return DEFAULT_ALIGNMENT


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor info. The shape is in NumPy's order, the offset counts from the data section."""

    name: str
    shape: Shape
    type: str
    offset: int


def data_offsets(sizes: Iterable[int], alignment: int = DEFAULT_ALIGNMENT) -> tuple[list[int], int]:
    """Where tensors of these many bytes begin in the data section, and the section's length.

    Every tensor is padded, the last one too.
    """
    offsets, end = [], 0
    for nbytes in sizes:
        offsets.append(end)
        end += pad(nbytes, alignment)
    return offsets, end


def encode_header(kvs: Sequence[KV], tensors: Sequence[TensorEntry]) -> bytes:
    """All bytes of a GGUF file before its data section, padded to the alignment the kvs ask for.

    Raises CheckpointError when a value does not fit its type or a tensor cannot be said in GGUF,
    ValueError for key-values or tensors that contradict each other.
    """
    _check_unique([kv.key for kv in kvs])
    _check_unique([tensor.name for tensor in tensors])
    alignment = alignment_of(kvs)
    parts = [MAGIC, struct.pack("<IQQ", VERSION, len(tensors), len(kvs))]
    parts += [_encode_kv(kv) for kv in kvs]
    parts += [_encode_tensor(tensor, alignment) for tensor in tensors]
    header = b"".join(parts)
    return header.ljust(pad(len(header), alignment), b"\0")


def _check_unique(names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{name!r} is there twice in one GGUF header")
        seen.add(name)


def _encode_kv(kv: KV) -> bytes:
    try:
        if kv.type in SCALAR_IDS:
            body = _id(kv.type) + _encoder(kv.type)([kv.value])
        else:
            element = kv.type.removeprefix("ARRAY[").removesuffix("]")
            head = struct.pack("<IIQ", ARRAY_ID, SCALAR_IDS[element], len(kv.value))
            body = head + _encoder(element)(kv.value)
    except (struct.error, OverflowError) as error:
        raise CheckpointError(
            "bad-value", f"{kv.value!r} does not fit {kv.type}", where=kv.key, reason=str(error)
        ) from error
    return _encode_string(kv.key) + body


def _id(scalar: str) -> bytes:
    return struct.pack("<I", SCALAR_IDS[scalar])


def _encoder(scalar: str) -> Callable[[Sequence[Any]], bytes]:
    if scalar == "STRING":
        return lambda values: b"".join(map(_encode_string, values))
    code = STRUCT_CODES[scalar]
    return lambda values: struct.pack(f"<{len(values)}{code}", *values)


_pack_length = struct.Struct("<Q").pack


def _encode_string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return _pack_length(len(raw)) + raw


def _encode_tensor(tensor: TensorEntry, alignment: int) -> bytes:
    name = tensor.name.encode()
    if len(name) > MAX_NAME_NBYTES or len(tensor.shape) > MAX_DIMS:
        raise CheckpointError(
            "no-gguf-tensor",
            f"a tensor of shape {tensor.shape} with a name of {len(name)} bytes cannot be written",
            where=tensor.name,
            reason=f"GGUF has at most {MAX_DIMS} dimensions, and names of {MAX_NAME_NBYTES} bytes",
        )
    if tensor.offset % alignment:
        raise ValueError(f"{tensor.name} begins at {tensor.offset}, no multiple of {alignment}")
    dims = tensor.shape[::-1]
    return _encode_string(name) + struct.pack(
        f"<I{len(dims)}QIQ", len(dims), *dims, GGML_TYPES[tensor.type].id, tensor.offset
    )
